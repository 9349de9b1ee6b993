"""What a model is to the rest of the program: three small contracts and one declaration.

* :class:`Recommender` scores items for histories; evaluation needs nothing else.
* :class:`Objective` turns rows of the training split into gradients; the training loop needs nothing else.
* :class:`Stage` names one phase of training (S3Rec: ``pretrain``, ``finetune``).
* :class:`ModelDefinition` ties them together; registering one is all it takes to add a model. It may also review a
  configuration as a whole.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor, nn

from model.parameters import Parameter

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from model.config import Config
    from model.data import SequentialDataset

# What a batch's loss is over its samples.
Reduction = Literal["sum", "mean"]

# Part of every stage key: raise it when a change of code changes the bits that a stage computes.
FORMAT_VERSION = 3


class Recommender(nn.Module, ABC):
    """A network that scores items for right-padded histories."""

    @abstractmethod
    def score_all(self, histories: Tensor, lengths: Tensor) -> Tensor:
        """Scores of every item.

        Args:
            histories: int64 [B, L], oldest first, right padded with 0.
            lengths: int64 [B], at least 1.

        Returns:
            float [B, item_num]; column 0 belongs to the padding and means nothing.
        """

    @abstractmethod
    def score(self, histories: Tensor, lengths: Tensor, candidates: Tensor) -> Tensor:
        """Scores of chosen items: ``candidates`` int64 [B, C] -> float [B, C]."""


def go_on() -> None:
    """The check of a run that nothing interrupts."""


class Objective(ABC):
    """The loss of one stage over rows of the training split.

    Attributes:
        check: to be called between two micro-batches where a batch takes seconds; may raise to interrupt.
    """

    check: Callable[[], None] = staticmethod(go_on)

    @property
    @abstractmethod
    def reduction(self) -> Reduction:
        """Whether the loss of a batch is the sum over its samples or their mean; a class attribute will do.

        What people are shown is the mean per sample of an epoch, which follows from it exactly.
        """

    @abstractmethod
    def begin_epoch(self, epoch: int) -> None:
        """Take the named random streams of epoch ``epoch`` (0-based) of this stage."""

    def arrange(self, order: Tensor) -> Tensor:
        """The epoch's samples in the order in which they are cut into batches; ``order`` unless overridden."""
        return order

    @abstractmethod
    def backward(self, rows: Tensor) -> Tensor:
        """Add the gradients of the loss over the batch ``rows`` (int64 [B]) to the parameters.

        One call is one optimizer step's worth of samples; how it is cut into micro-batches is the
        objective's affair. Returns the detached loss, a scalar on the model's device (no synchronisation).
        """


@dataclass(frozen=True)
class Stage:
    """One phase of training.

    Attributes:
        name: also the value of ``train_stage`` and the scope in ``pretrain.learning_rate``.
        epochs_key: configuration key with the number of epochs (``pretrain_epochs``, ``epochs``).
        validates: whether epochs are evaluated on the valid split and early stopping applies. A stage that
            does not validate is a pure function of its inputs and epoch count: trials share it. The last stage
            of a model validates, the ones before it do not.
        objective: builds the stage's objective.
    """

    name: str
    epochs_key: str
    validates: bool
    objective: Callable[[Recommender, SequentialDataset, Config], Objective]


@dataclass(frozen=True)
class Picture:
    """A picture that a trained model can give of one user.

    Attributes:
        name: in commands and addresses, e.g. ``interest-graph``.
        title: for people.
        draw: from the model (in evaluation mode), a history (int64 [n], oldest first) and what to call its items;
            called without gradients. Who calls it adds the title.
    """

    name: str
    title: str
    draw: Callable[[Recommender, Tensor, Sequence[str]], go.Figure]


def nothing_to_say(_values: Mapping[str, Any]) -> Mapping[str, str]:
    """The review of a model whose parameters neither contradict nor switch off each other."""
    return {}


@dataclass(frozen=True)
class ModelDefinition:
    """A model as the registry knows it.

    Attributes:
        name: RecBole's class name.
        summary: one sentence.
        parameters: the model's own parameters (the common ones are added by the registry).
        stages: in the order in which they run, each from the weights of the one before it.
        build: a freshly initialised model for a data set; deterministic in ``config["seed"]``.
        review: looks at the values of a configuration together, before any data is read: raises ConfigError
            where they do not fit each other, and returns the keys that have no effect beside the other
            values, each with the reason, e.g. ``{"alpha": "only loss 'x' has an alpha"}``. It should read
            only the keys that it decides by: a study reviews every combination of the searched ones.
        pictures: what the trained model can show of a user.
        search_space: text of a params file worth beginning with: what to search first, and over which values.
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    stages: tuple[Stage, ...]
    build: Callable[[Config, SequentialDataset], Recommender]
    review: Callable[[Mapping[str, Any]], Mapping[str, str]] = nothing_to_say
    pictures: tuple[Picture, ...] = ()
    search_space: str = ""

    @property
    def shared_stages(self) -> tuple[Stage, ...]:
        """The stages that trials share: all but the last."""
        return self.stages[:-1]

    def stage(self, name: str) -> Stage:
        """The stage called ``name``; KeyError when the model has none such."""
        return {stage.name: stage for stage in self.stages}[name]


def stage_key(
    definition: ModelDefinition,
    stage: Stage,
    config: Config,
    fingerprint: str,
    shaping: Mapping[str, Parameter],
    before: tuple[str, int] | None = None,
) -> str:
    """Identity of a stage's weights: two runs with one key and one epoch count have the same bits.

    Args:
        fingerprint: the data set's (content and data configuration).
        shaping: schema of the model; the keys that shape the stage enter the hash, the number of epochs
            does not, because shorter runs are prefixes of longer ones.
        before: key and epoch count of the shared stage that this one starts from; None for the first.
    """
    values = {
        name: config[name]
        for name, parameter in sorted(shaping.items())
        if parameter.shapes(stage.name) and name != stage.epochs_key
    }
    identity: dict[str, Any] = {
        "format": FORMAT_VERSION,
        "model": definition.name,
        "stage": stage.name,
        "data": fingerprint,
        "seed": config["seed"],
        "values": values,
    }
    if before is not None:
        identity["before"] = before
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
