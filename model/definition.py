"""What a model is to the rest of the program: a declaration that can be read without torch.

* :class:`Stage` names one phase of training (S3Rec: ``pretrain``, ``finetune``).
* :class:`Picture` names something that a trained model can show of a user.
* :class:`ModelDefinition` ties them to the functions that compute; registering one is all it takes to add a model. It
  may also review a configuration as a whole.

What the functions make is described by :mod:`model.recommender`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model.parameters import Parameter

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from torch import Tensor

    from model.config import Config
    from model.data import SequentialDataset
    from model.recommender import Objective, Recommender

# Part of every stage key: raise it when a change of code changes the bits that a stage computes.
FORMAT_VERSION = 3


def lazily(path: str) -> Callable[..., Any]:
    """The function at ``path``, "package.module:name", as one that is imported when it is first called.

    A definition may hold its functions as they are. One that names them so can be read, as commands and clients do,
    without the seconds that importing torch takes.
    """
    module, colon, name = path.partition(":")
    if not (module and colon and name):
        raise ValueError(f"{path!r} names no function. Write package.module:name.")

    def call(*arguments: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*arguments)

    return call


@dataclass(frozen=True)
class Stage:
    """One phase of training.

    Attributes:
        name: also the value of ``train_stage`` and the scope in ``pretrain.learning_rate``.
        epochs_key: configuration key with the number of epochs (``pretrain_epochs``, ``epochs``).
        validates: whether epochs are evaluated on the valid split and early stopping applies. A stage that
            does not validate is a pure function of its inputs and epoch count: trials share it. The last stage
            of a model validates, the ones before it do not.
        objective: builds the stage's objective; may be named, see :func:`lazily`.
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
            called without gradients. Who calls it adds the title. May be named, see :func:`lazily`.
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
        build: a freshly initialised model for a data set; deterministic in ``config["seed"]``. May be named, see
            :func:`lazily`.
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
