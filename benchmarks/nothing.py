"""A model that computes next to nothing, so that what is left is the engine: one number, moved by no loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model import registry
from model.config import Config
from model.data import SequentialDataset
from model.definition import ModelDefinition, Stage
from model.parameters import Parameter
from model.recommender import Objective, Recommender

NAME = "Nothing"


class Nothing(Recommender):
    """Scores every item alike."""

    def __init__(self, items: int, start: float) -> None:
        super().__init__()
        self.items = items
        self.weight = nn.Parameter(torch.full((1,), start))

    def score_all(self, histories: Tensor, lengths: Tensor) -> Tensor:  # noqa: ARG002 - the interface
        """See :meth:`Recommender.score_all`."""
        return self.weight.repeat(len(histories), self.items)

    def score(self, histories: Tensor, lengths: Tensor, candidates: Tensor) -> Tensor:  # noqa: ARG002 - the interface
        """See :meth:`Recommender.score`."""
        return self.weight.repeat(*candidates.shape)


class NoLoss(Objective):
    """A loss of zero for every batch."""

    reduction = "sum"

    def __init__(self, model: Recommender) -> None:
        assert isinstance(model, Nothing)
        self.model = model

    def begin_epoch(self, epoch: int) -> None:
        """Nothing is random."""

    def backward(self, rows: Tensor) -> Tensor:  # noqa: ARG002 - the interface
        """See :meth:`Objective.backward`."""
        loss = self.model.weight.sum() * 0.0
        torch.autograd.backward(loss)
        return loss.detach()


def build(config: Config, dataset: SequentialDataset) -> Nothing:
    """The model for a data set."""
    return Nothing(dataset.item_num, config["start"])


def no_loss(model: Recommender, dataset: SequentialDataset, config: Config) -> NoLoss:  # noqa: ARG001 - the interface
    """The objective of both stages."""
    return NoLoss(model)


DEFINITION = ModelDefinition(
    name=NAME,
    summary="Computes nothing.",
    parameters=(
        Parameter("start", "float", 0.0, "The number that it begins with.", stages=frozenset({"pretrain", "finetune"})),
        Parameter("pretrain_epochs", "int", 1, "Epochs of the shared stage.", minimum=0),
        Parameter("train_stage", "str", "pretrain", "Stage.", choices=("pretrain", "finetune")),
        Parameter("pre_model_path", "str", "", "Checkpoint to begin with."),
    ),
    stages=(
        Stage("pretrain", "pretrain_epochs", validates=False, objective=no_loss),
        Stage("finetune", "epochs", validates=True, objective=no_loss),
    ),
    build=build,
)


def register() -> None:
    """Make the model known in this process."""
    registry.BUILT_IN[NAME] = f"{__name__}:DEFINITION"
