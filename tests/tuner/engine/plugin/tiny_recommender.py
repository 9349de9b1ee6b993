"""The smallest models that have what the engine deals with: shared stages, noise, and ways to go wrong.

``Tiny`` has one shared stage, ``Chain`` two, of which the second starts from the first. They are found through their
entry points, like any model that is not part of the package.
"""

from __future__ import annotations

import errno
import os
import pathlib
import signal
import time
from dataclasses import replace

import torch
from torch import Tensor, nn

from model.config import Config
from model.data import SequentialDataset
from model.definition import ModelDefinition, Stage
from model.parameters import Parameter
from model.randomness import torch_generator
from model.recommender import Objective, Recommender

ALL = frozenset({"pretrain", "align", "finetune"})
BOTH = frozenset({"pretrain", "finetune"})


class Tiny(Recommender):
    """Scores an item by how near its embedding is to the mean of the history's."""

    def __init__(self, items: int, width: int, seed: int) -> None:
        super().__init__()
        weights = torch.randn(items, width, generator=torch_generator(seed, "init"))
        self.embedding = nn.Parameter(weights * 0.1)

    def histories(self, histories: Tensor) -> Tensor:
        given = (histories > 0).unsqueeze(-1)
        return (self.embedding[histories] * given).sum(1) / given.sum(1).clamp(min=1)

    def score_all(self, histories: Tensor, lengths: Tensor) -> Tensor:
        return self.histories(histories) @ self.embedding.T

    def score(self, histories: Tensor, lengths: Tensor, candidates: Tensor) -> Tensor:
        scores: Tensor = self.score_all(histories, lengths).gather(1, candidates)
        return scores


class NextItem(Objective):
    """Cross entropy of the next item, with noise on the histories so that random streams matter."""

    reduction = "mean"

    def __init__(self, model: Recommender, dataset: SequentialDataset, config: Config, stage: str) -> None:
        assert isinstance(model, Tiny)
        self.model, self.dataset, self.config, self.stage = model, dataset, config, stage
        self.noise = torch_generator(0)

    def begin_epoch(self, epoch: int) -> None:
        self.noise = torch_generator(self.config["seed"], self.stage, epoch, "noise")
        if self.config["trouble"] == "raise" and self.stage == "finetune":
            raise RuntimeError("asked to raise")
        if self.config["trouble"] == "memory" and self.stage == "finetune":
            raise MemoryError("asked to run out of memory")
        if self.config["trouble"] == "disk" and self.stage == "finetune":
            raise OSError(errno.ENOSPC, "No space left on device")
        if self.config["trouble"] == "die" and self.stage == "finetune":
            os.kill(os.getpid(), signal.SIGKILL)
        hold(self.stage, epoch)
        time.sleep(self.config["pause"])

    def backward(self, rows: Tensor) -> Tensor:
        time.sleep(self.config["batch_pause"])
        samples = self.dataset.train.select(rows)
        histories = samples.padded(torch.arange(len(rows)), 50)
        means = self.model.histories(histories)
        means = means + self.config["noise"] * torch.randn(means.shape, generator=self.noise)
        loss = nn.functional.cross_entropy(means @ self.model.embedding.T, samples.target)
        if self.config["trouble"] == "nan" and self.stage == "finetune":
            loss = loss * float("nan")
        loss.backward()
        return loss.detach()


def hold(stage: str, epoch: int) -> None:
    """Wait at the beginning of an epoch as long as a file is there: TINY_HOLD is "stage:epoch:file", epoch from 0.

    Who waits puts a file of his own beside it. The configuration does not say so, or it would be another run.
    """
    wanted, _, rest = os.environ.get("TINY_HOLD", "").partition(":")
    number, _, file = rest.partition(":")
    while stage == wanted and epoch == int(number) and os.path.exists(file):  # noqa: PTH110 - the model is small
        pathlib.Path(f"{file}-{os.getpid()}").touch()
        time.sleep(0.02)


def pretrain(model: Recommender, dataset: SequentialDataset, config: Config) -> Objective:
    return NextItem(model, dataset, config, "pretrain")


def align(model: Recommender, dataset: SequentialDataset, config: Config) -> Objective:
    return NextItem(model, dataset, config, "align")


def finetune(model: Recommender, dataset: SequentialDataset, config: Config) -> Objective:
    return NextItem(model, dataset, config, "finetune")


def build(config: Config, dataset: SequentialDataset) -> Recommender:
    return Tiny(dataset.item_num, config["width"], config["seed"])


DEFINITION = ModelDefinition(
    name="Tiny",
    summary="Mean of embeddings.",
    parameters=(
        Parameter("width", "int", 8, "Size of the embeddings.", minimum=1, stages=BOTH),
        Parameter("noise", "float", 0.1, "Noise on histories.", minimum=0.0, stages=BOTH),
        Parameter("pretrain_epochs", "int", 3, "Epochs of pretraining.", minimum=0),
        Parameter("train_stage", "str", "pretrain", "Stage.", choices=("pretrain", "finetune")),
        Parameter("pre_model_path", "str", "", "Checkpoint to begin with."),
        Parameter("batch_pause", "float", 0.0, "Seconds that every batch takes longer.", minimum=0.0),
        Parameter("pause", "float", 0.0, "Seconds that every epoch takes longer.", minimum=0.0),
        Parameter(
            "trouble",
            "str",
            "none",
            "What goes wrong in finetuning.",
            choices=("none", "raise", "nan", "memory", "disk", "die"),
            stages=frozenset({"finetune"}),
        ),
    ),
    stages=(
        Stage("pretrain", "pretrain_epochs", validates=False, objective=pretrain),
        Stage("finetune", "epochs", validates=True, objective=finetune),
    ),
    build=build,
)

CHAIN = ModelDefinition(
    name="Chain",
    summary="Mean of embeddings, trained in three stages.",
    parameters=(
        Parameter("width", "int", 8, "Size of the embeddings.", minimum=1, stages=ALL),
        Parameter("noise", "float", 0.1, "Noise on histories.", minimum=0.0, stages=ALL),
        Parameter("pretrain_epochs", "int", 3, "Epochs of the first stage.", minimum=0),
        Parameter("align_epochs", "int", 2, "Epochs of the second stage.", minimum=0),
        Parameter("train_stage", "str", "pretrain", "Stage.", choices=("pretrain", "align", "finetune")),
        *(parameter for parameter in DEFINITION.parameters if parameter.name in ("pre_model_path", "trouble")),
        *(parameter for parameter in DEFINITION.parameters if parameter.name in ("pause", "batch_pause")),
    ),
    stages=(
        Stage("pretrain", "pretrain_epochs", validates=False, objective=pretrain),
        Stage("align", "align_epochs", validates=False, objective=align),
        Stage("finetune", "epochs", validates=True, objective=finetune),
    ),
    build=build,
)


def _validating(name: str, *validates: bool) -> ModelDefinition:
    stages = tuple(replace(stage, validates=does) for stage, does in zip(CHAIN.stages, validates, strict=True))
    return replace(CHAIN, name=name, stages=stages)


# What a study can't be made of.
VALIDATES_TWICE = _validating("ValidatesTwice", False, True, True)
NEVER_VALIDATES = _validating("NeverValidates", False, False, False)
