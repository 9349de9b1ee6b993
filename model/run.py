"""One stage of training as a run that can stop anywhere and go on elsewhere, ending with the same bits.

The engine and the Python API both drive stages through :class:`StageRun`: an epoch at a time, saving when they like.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.checkpoint import FORMAT, load_checkpoint, load_weights, save_checkpoint
from model.config import Config
from model.data import SequentialDataset
from model.errors import CheckpointMismatch
from model.evaluation import evaluate
from model.recommender import ModelDefinition, Recommender, Stage, stage_key
from model.registry import parameters_of
from model.training import EarlyStopping, make_optimizer, train_epoch

Result = dict[str, float]


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did.

    Attributes:
        epoch: 1-based.
        loss: sum of the batches' losses.
        valid_result, valid_score: None when the epoch was not validated.
        improved: whether the validation was the best so far.
    """

    stage: str
    epoch: int
    loss: float
    valid_result: Result | None
    valid_score: float | None
    seconds: float
    improved: bool


@dataclass(frozen=True)
class RunResult:
    """How a stage ended. ``best_epoch`` is 1-based; scores are None for a stage that does not validate."""

    best_epoch: int
    best_valid_score: float | None
    best_valid_result: Result | None
    test_result: Result | None


class StageRun:
    """A stage of a model on a data set.

    Attributes:
        stage: name of the stage.
        epoch: epochs done.
        epochs: epochs wanted.
        best_epoch: epoch (1-based) of the best validation; 0 before it.
        best_valid_result: its metrics.
    """

    def __init__(self, definition: ModelDefinition, stage: Stage, config: Config, dataset: SequentialDataset) -> None:
        self._stage, self._config, self._dataset = stage, config, dataset
        self.stage = stage.name
        self.epoch = 0
        self.epochs: int = config[stage.epochs_key]
        self.best_epoch = 0
        self.best_valid_result: Result | None = None
        self._key = stage_key(definition, stage, config, dataset.fingerprint, parameters_of(definition.name))
        self._stopping = EarlyStopping(config["stopping_step"], config["valid_metric_bigger"])
        self._best_weights: dict[str, Tensor] | None = None
        self.model: Recommender = definition.build(config, dataset).to(choose_device(config))
        self._objective = stage.objective(self.model, dataset, config)
        self._optimizer = make_optimizer(self.model.parameters(), config)

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to run: all are done, or early stopping says so."""
        return self.epoch >= self.epochs or self._stopping.stop

    @property
    def best_valid_score(self) -> float | None:
        """The best validation score so far."""
        return self._stopping.best

    def start_from(self, path: Path) -> None:
        """Take the weights of an earlier stage's checkpoint.

        Raises:
            CheckpointError: it can't be read, or does not fit.
        """
        load_weights(self.model, load_checkpoint(path), path, self._config, items_digest(self._dataset, self._config))

    def run_epoch(self, on_progress: Callable[[float, float], None] | None = None) -> EpochReport:
        """Train one epoch and validate it where it is due.

        What ``on_progress`` raises abandons the epoch; go on from the last :meth:`save` then, not from this object.

        Raises:
            NonFiniteLoss: training diverged.
        """
        begun = time.perf_counter()
        self.model.train()
        number = len(self._dataset.train)
        loss = train_epoch(self._objective, self._optimizer, self.epoch, number, self._config, on_progress)
        self.epoch += 1
        result = self._validate() if self._stage.validates else None
        score = result[self._config["valid_metric"].lower()] if result else None
        improved = score is not None and self._stopping.update(score)
        # Without validation (none wanted, or no samples for it) the last epoch is the best there is.
        if improved or (self._stage.validates and self._stopping.best is None):
            self.best_epoch, self.best_valid_result = self.epoch, result
            self._best_weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        seconds = time.perf_counter() - begun
        return EpochReport(self.stage, self.epoch, loss, result, score, seconds, improved)

    def _validate(self) -> Result | None:
        step = min(self._config["eval_step"], self.epochs)
        if step <= 0 or self.epoch % step:
            return None
        return evaluate(self.model, self._dataset, "valid", self._config, self.epoch)

    def save(self, path: Path, *, best: bool = False) -> None:
        """Write a checkpoint to resume from, or with ``best`` one with the best epoch's weights to use.

        Raises:
            OSError: it can't be written; an earlier file is untouched.
        """
        weights = self.model.state_dict()
        epoch = self.epoch
        if best and self._best_weights is not None:
            weights, epoch = self._best_weights, self.best_epoch
        section: dict[str, Any] = {
            "format": FORMAT,
            "stage": self.stage,
            "key": self._key,
            "dataset": self._dataset.name,
            "items": items_digest(self._dataset, self._config),
            "best_epoch": self.best_epoch,
            "best_valid_result": self.best_valid_result,
            "best_weights": None if best else self._best_weights,
        }
        content = {
            "config": self._config.as_dict(),
            "epoch": epoch - 1,
            "cur_step": self._stopping.bad,
            "best_valid_score": self._stopping.best,
            "state_dict": {name: value.cpu() for name, value in weights.items()},
            "other_parameter": {},
            "optimizer": self._optimizer.state_dict(),
            "rectuner": section,
        }
        save_checkpoint(path, content)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint that :meth:`save` wrote for a run of the same key.

        The rest of the run has the bits that it would have had without the interruption.

        Raises:
            CheckpointError: it can't be read.
            CheckpointMismatch: it belongs to a run with other data, seed or settings.
        """
        content = load_checkpoint(path)
        section = content.get("rectuner") or {}
        if section.get("format") != FORMAT or section.get("key") != self._key:
            raise CheckpointMismatch(
                f"{path}: belongs to a run of {section.get('stage', 'another program')!r} on "
                f"{section.get('dataset', 'unknown data')!r} with other data, seed or settings; "
                f"this is {self.stage!r} on {self._dataset.name!r}."
            )
        load_weights(self.model, content, path, self._config, items_digest(self._dataset, self._config))
        self._optimizer.load_state_dict(content["optimizer"])
        self.epoch = content["epoch"] + 1
        self._stopping.best, self._stopping.bad = content["best_valid_score"], content["cur_step"]
        self.best_epoch, self.best_valid_result = section["best_epoch"], section["best_valid_result"]
        self._best_weights = section["best_weights"]

    def result(self) -> RunResult:
        """How the stage ended; a stage that validates is tested with its best epoch's weights."""
        if not self._stage.validates:
            return RunResult(self.epoch, None, None, None)
        last = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        if self._best_weights is not None:
            self.model.load_state_dict(self._best_weights)
        test = evaluate(self.model, self._dataset, "test", self._config, self.best_epoch)
        self.model.load_state_dict(last)
        return RunResult(self.best_epoch, self._stopping.best, self.best_valid_result, test)


def start_run(
    definition: ModelDefinition,
    stage_name: str,
    config: Config,
    dataset: SequentialDataset,
    *,
    initial: Path | None = None,
) -> StageRun:
    """A run at epoch 0, with fresh weights or those of an earlier stage's checkpoint ``initial``.

    Raises:
        CheckpointError: ``initial`` can't be read, or does not fit.
        KeyError: the model has no such stage.
    """
    run = StageRun(definition, definition.stage(stage_name), config, dataset)
    if initial is not None:
        run.start_from(initial)
    return run


def items_digest(dataset: SequentialDataset, config: Config) -> str:
    """SHA-256 of the item ids' texts in order: weights only fit data with the same one."""
    return hashlib.sha256("\x1f".join(dataset.tokens[config["ITEM_ID_FIELD"]]).encode()).hexdigest()


def choose_device(config: Config) -> torch.device:
    """The GPU if there is one and the configuration allows it, else the CPU."""
    allowed = config["use_gpu"] and str(config["gpu_id"] or "") != ""
    return torch.device("cuda" if allowed and torch.cuda.is_available() else "cpu")
