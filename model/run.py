"""One stage of training as a run that can stop anywhere and go on elsewhere, ending with the same bits.

The engine and the Python API both drive stages through :class:`StageRun`: an epoch at a time, saving when they like.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from model.checkpoint import FORMAT, at_best_epoch, load_checkpoint, load_weights, save_checkpoint
from model.config import Config
from model.data import SequentialDataset
from model.defaults import DATA
from model.definition import ModelDefinition, Stage, stage_key
from model.device import choose_device, describe
from model.errors import CheckpointMismatch, TrainingError
from model.evaluation import evaluate
from model.protocol import cheaper_validation, protocol_of
from model.recommender import Recommender, go_on
from model.registry import parameters_of
from model.run_state import check_run_state
from model.training import EarlyStopping, make_optimizer, train_epoch

_log = logging.getLogger(__name__)

Result = dict[str, float]


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did.

    Attributes:
        epoch: 1-based.
        loss: sum of the batches' losses, as RecBole reports it.
        mean_loss: mean loss per sample, which is what people are shown.
        valid_result, valid_score: None when the epoch was not validated.
        improved: whether the validation was the best so far.
        advice: how to validate more cheaply, where the first validation took long.
    """

    stage: str
    epoch: int
    loss: float
    mean_loss: float
    valid_result: Result | None
    valid_score: float | None
    seconds: float
    improved: bool
    advice: str | None = None


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

    def __init__(
        self,
        definition: ModelDefinition,
        stage: Stage,
        config: Config,
        dataset: SequentialDataset,
        before: tuple[str, int] | None = None,
    ) -> None:
        self._stage, self._config, self._dataset = stage, config, dataset
        self.stage = stage.name
        self.epoch = 0
        self.epochs: int = config[stage.epochs_key]
        self.best_epoch = 0
        self.best_valid_result: Result | None = None
        self._schema = parameters_of(definition.name)
        self._key = stage_key(definition, stage, config, dataset.fingerprint, self._schema, before)
        self._stopping = EarlyStopping(config["stopping_step"], config["valid_metric_bigger"])
        self._best_weights: dict[str, Tensor] | None = None
        self._within_epoch = False
        self._validated = False
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
        """Take the weights of an earlier stage's checkpoint, the best epoch's where it was validated.

        Raises:
            CheckpointError: it can't be read, or does not fit.
        """
        content = at_best_epoch(load_checkpoint(path))
        load_weights(self.model, content, path, self._config, items_digest(self._dataset, self._config))

    def run_epoch(
        self, on_progress: Callable[[float, float], None] | None = None, check: Callable[[], None] | None = None
    ) -> EpochReport:
        """Train one epoch and validate it where it is due.

        What ``on_progress`` raises, or ``check``, which is called between two micro-batches and two batches of the
        validation, abandons the epoch: only :meth:`resume` makes this object usable again.

        Raises:
            NonFiniteLoss: training diverged.
        """
        self._check_between_epochs()
        begun = time.perf_counter()
        self._within_epoch = True
        self.model.train()
        self._objective.check = check or go_on
        number = len(self._dataset.train)
        loss = train_epoch(self._objective, self._optimizer, self.epoch, number, self._config, on_progress)
        self.epoch += 1
        trained = time.perf_counter()
        result = self._validate(check) if self._stage.validates else None
        validation = time.perf_counter() - trained
        score = result[self._config["valid_metric"].lower()] if result else None
        improved = score is not None and self._stopping.update(score)
        # Without validation (none wanted, or no samples for it) the last epoch is the best there is.
        if improved or (self._stage.validates and self._stopping.best is None):
            self.best_epoch, self.best_valid_result = self.epoch, result
            self._best_weights = self._copy_of_weights()
        self._within_epoch = False
        advice = None
        if result and not self._validated:
            self._validated = True
            users = len(self._dataset.valid.user.unique())  # type: ignore[no-untyped-call]
            advice = cheaper_validation(self._config, users, trained - begun, validation)
        seconds = time.perf_counter() - begun
        return EpochReport(self.stage, self.epoch, loss.total, loss.mean, result, score, seconds, improved, advice)

    def _check_between_epochs(self) -> None:
        if self._within_epoch:
            raise TrainingError(
                f"Epoch {self.epoch + 1} of {self.stage} was abandoned; resume from a checkpoint first."
            )

    def _validate(self, check: Callable[[], None] | None) -> Result | None:
        step = min(self._config["eval_step"], self.epochs)
        if step <= 0 or self.epoch % step:
            return None
        return evaluate(self.model, self._dataset, "valid", self._config, self.epoch, check)

    def save(
        self,
        path: Path,
        *,
        best: bool = False,
        test_result: Result | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> str:
        """Write a checkpoint to resume from, or with ``best`` one with the best epoch's weights to use.

        Args:
            test_result: what :meth:`result` found for the best epoch's weights, to be kept beside them.
            announce: called with the file's SHA-256 before the file appears; if it raises, the file does not.

        Returns:
            The file's SHA-256.

        Raises:
            OSError: it can't be written; an earlier file is untouched.
        """
        self._check_between_epochs()
        section: dict[str, Any] = {
            "format": FORMAT,
            "stage": self.stage,
            "dataset": self._dataset.name,
            "items": items_digest(self._dataset, self._config),
            "resumable": True,
            "key": self._key,
            "protocol": self._protocol(),
            "best_epoch": self.best_epoch,
            "best_valid_result": self.best_valid_result,
            # Mostly the best epoch is the last one, whose weights are there already.
            "best_weights": None if self.best_epoch == self.epoch else self._best_weights,
            "test_result": test_result,
        }
        content = {
            "config": self._config.as_dict(),
            "epoch": self.epoch - 1,
            "cur_step": self._stopping.bad,
            "best_valid_score": self._stopping.best,
            "state_dict": self.model.state_dict(),
            "other_parameter": {},
            "optimizer": self._optimizer.state_dict(),
            "rectuner": section,
        }
        return save_checkpoint(path, at_best_epoch(content) if best else content, announce)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint that :meth:`save` wrote for a run of the same data, seed and settings.

        The rest of the run has the bits that it would have had without the interruption.

        Raises:
            CheckpointError: it can't be read.
            CheckpointMismatch: it belongs to another run, or is past this run's last epoch.
        """
        content = load_checkpoint(path)
        self._check_resumable(content, path)
        check_run_state(content, path, self._optimizer)
        section = content["rectuner"]
        load_weights(self.model, content, path, self._config, items_digest(self._dataset, self._config))
        self._optimizer.load_state_dict(content["optimizer"])
        self.epoch = content["epoch"] + 1
        self._stopping.best, self._stopping.bad = content["best_valid_score"], content["cur_step"]
        self.best_epoch, self.best_valid_result = section["best_epoch"], section["best_valid_result"]
        self._best_weights = section["best_weights"]
        if self._best_weights is None and self.best_epoch == self.epoch:
            self._best_weights = self._copy_of_weights()
        self._within_epoch = False

    def _check_resumable(self, content: Mapping[str, Any], path: Path) -> None:
        section = content.get("rectuner") or {}
        if section.get("format") != FORMAT or not section.get("resumable"):
            raise CheckpointMismatch(f"{path}: holds weights, but not the state of a run that could be continued.")
        if (section.get("stage"), section.get("key")) != (self.stage, self._key):
            raise CheckpointMismatch(
                f"{path}: belongs to another run ({section.get('stage')} on {section.get('dataset')}); this is "
                f"{self.stage} on {self._dataset.name}. Different: {self._differences(content.get('config') or {})}."
            )
        if self._stage.validates and section.get("protocol") != self._protocol():
            raise CheckpointMismatch(
                f"{path}: its best score was measured as {section.get('protocol')}, this run measures "
                f"{self._protocol()}."
            )
        epoch = content["epoch"] + 1 if isinstance(content.get("epoch"), int) else 0
        if epoch > self.epochs:
            raise CheckpointMismatch(
                f"{path}: is {epoch} epochs long, this run wants {self.epochs} ({self._stage.epochs_key})."
            )

    def _differences(self, theirs: Mapping[str, Any]) -> str:
        """The keys in which another run's configuration differs and that matter to this stage."""
        ours = self._config.as_dict()
        shaping = [name for name, key in self._schema.items() if key.shapes(self.stage)]
        names = ["model", "dataset", "seed", *shaping, *(parameter.name for parameter in DATA)]
        different = [
            f"{name} ({theirs.get(name)!r} there, {ours[name]!r} here)"
            for name in names
            if theirs.get(name) != ours[name] and name != "data_path"
        ]
        return ", ".join(different) or "the stage, the content of the data files, or how they are split"

    def _protocol(self) -> dict[str, Any]:
        """What a score means; scores of two protocols can't be compared."""
        values = {name: self._config[name] for name in ("valid_metric", "metric_decimal_place", "tail_ratio")}
        protocol = protocol_of(self._config)
        values["mode"] = protocol["valid"]
        return values | {key: protocol[key] for key in ("valid_users",) if key in protocol}

    def _copy_of_weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def result(self, check: Callable[[], None] | None = None) -> RunResult:
        """How the stage ended, tested with the best epoch's weights (the last ones where nothing was validated).

        ``check`` is called before every batch of the test; what it raises leaves the run as an abandoned epoch does.
        """
        self._check_between_epochs()
        self._within_epoch = True
        last = self._copy_of_weights()
        if self._best_weights is not None:
            self.model.load_state_dict(self._best_weights)
        best_epoch = self.best_epoch or self.epoch
        test = evaluate(self.model, self._dataset, "test", self._config, best_epoch, check)
        self.model.load_state_dict(last)
        self._within_epoch = False
        return RunResult(best_epoch, self._stopping.best, self.best_valid_result, test)


def start_run(
    definition: ModelDefinition,
    stage_name: str,
    config: Config,
    dataset: SequentialDataset,
    *,
    initial: Path | None = None,
    before: tuple[str, int] | None = None,
) -> StageRun:
    """A run at epoch 0, with fresh weights or those of an earlier stage's checkpoint ``initial``.

    ``before`` is the key and epoch count of a shared stage that another shared stage starts from: a run that
    started from other weights can't be resumed as this one.

    Raises:
        CheckpointError: ``initial`` can't be read, or does not fit.
        KeyError: the model has no such stage.
    """
    run = StageRun(definition, definition.stage(stage_name), config, dataset, before)
    _log.info("%s trains on %s", stage_name, describe(config))
    if initial is not None:
        run.start_from(initial)
    return run


def items_digest(dataset: SequentialDataset, config: Config) -> str:
    """SHA-256 of the item ids' texts in order: weights only fit data with the same one."""
    return hashlib.sha256("\x1f".join(dataset.tokens[config["ITEM_ID_FIELD"]]).encode()).hexdigest()
