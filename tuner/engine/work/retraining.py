"""Training a trial again whose weights are not kept: the same bits, and nothing of its study changes."""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from model.errors import CheckpointError
from model.run import RunResult, StageRun
from tuner.engine.course.sweep import sweep
from tuner.engine.datasets import DatasetCache
from tuner.engine.files.artifact_store import join_store, require_store
from tuner.engine.files.artifacts import retraining_folder
from tuner.engine.plan import make_plan
from tuner.engine.search.trials import OptunaTrial, OptunaTrials
from tuner.engine.work.driver import Driver, resumed
from tuner.engine.work.lease import LeaseKeeper
from tuner.engine.work.presence import register, sign_off, stopping_by_signals
from tuner.engine.work.stage_cache import StageCache
from tuner.engine.work.trial import TrialRun, TrialRunner
from tuner.errors import StudyStateError, TrialNotFound
from tuner.settings import Settings
from tuner.specification import StudySpecification
from tuner.store import Database
from tuner.store import slots as slot_rows
from tuner.store import studies as study_rows
from tuner.store.claims import Claim
from tuner.store.states import VALUED_TRIAL_STATES, Origin
from tuner.store.tables import Slot, Study
from tuner.store.trial_outcome import TrialOutcome

_log = logging.getLogger(__name__)

# Called with stage, epoch (from 1), epochs, and the part of that epoch that is done.
Progress = Callable[[str, int, int, float], None]


@dataclass(frozen=True)
class Retrained:
    """How a trial turned out the second time, beside what its study says of it.

    Attributes:
        epoch: the trial's best epoch, at which training ended.
        value, test_result: of this time.
        recorded, recorded_test: the study's, which has no test result of a pruned trial.
    """

    epoch: int
    value: float | None
    recorded: float | None
    test_result: dict[str, float] | None
    recorded_test: dict[str, float] | None

    @property
    def same(self) -> bool:
        """Whether everything is as it was. With other processors, threads or versions it need not be."""
        return self.value == self.recorded and self.recorded_test in (None, self.test_result)


def retrain(
    database: Database, settings: Settings, name: str | int, number: int, target: Path, on_progress: Progress
) -> Retrained:
    """Train a trial's parameters to its best epoch and write the weights to ``target``.

    Shared stages come from the installation's cache, and what has to be trained of them goes there.

    Raises:
        StudyNotFound, TrialNotFound: there is none such.
        StudyStateError: the trial has no value to be trained to.
        WrongStore: the artifact folder is not the database's.
        Interrupted: Ctrl-C; the target was not written, and who asks again goes on from the last epoch.
        OSError: the target can't be written.
    """
    with database.session() as session:
        study = study_rows.find_study(session, name)
        slot = slot_rows.find_slot(session, study.id, number)
    if slot is None:
        raise TrialNotFound(f"{study.name} has no trial {number}.")
    if slot.state not in VALUED_TRIAL_STATES:
        raise StudyStateError(f"Trial {number} is {slot.state}; only trials that ended with a value are trained again.")
    storage = database.storage
    trial_id = storage.get_trial_id_from_study_id_trial_number(
        storage.get_study_id_from_name(study.optuna_name), number
    )
    frozen = storage.get_trial(trial_id)
    recorded, value = TrialOutcome.read(frozen.user_attrs), frozen.values[0] if frozen.values else None
    if recorded.best_epoch is None or value is None:
        raise StudyStateError(f"Trial {number} has no value that it could be trained to.")
    torch.set_num_threads(settings.worker_threads)
    run, result = _train(database, settings, study, slot, frozen.params, recorded.best_epoch, on_progress)
    run.save(target, best=True, test_result=result.test_result)
    shutil.rmtree(retraining_folder(settings.artifacts, study.id, number), ignore_errors=True)
    return Retrained(result.best_epoch, result.best_valid_score, value, result.test_result, recorded.test_result)


def _train(
    database: Database,
    settings: Settings,
    study: Study,
    slot: Slot,
    params: dict[str, Any],
    epochs: int,
    on_progress: Progress,
) -> tuple[StageRun, RunResult]:
    """As a worker that holds no trial: others see it, and it may hold shared stages."""
    join_store(database, settings.artifacts)
    worker = uuid.uuid4().hex
    keeper = LeaseKeeper(
        database, worker, settings.lease_seconds, meanwhile=lambda: sweep(database, settings.lease_seconds)
    )
    cache = StageCache(database, settings.artifacts, keeper, settings.cache_gb * 1e9, settings.checkpoint_epochs)
    plan = make_plan(StudySpecification.model_validate(study.specification))
    load = DatasetCache(settings.prepared_gb * 1e9, keeper.check).load
    trials = OptunaTrials(database, study, plan)
    every = settings.checkpoint_epochs
    runner = TrialRunner(database, settings.artifacts, keeper, cache, study, plan, trials, load, every)
    trial = OptunaTrial(slot.optuna_number or 0, params, None, None, set())
    register(database, worker, settings.lease_seconds)
    keeper.start()
    try:
        with stopping_by_signals(keeper.ask_to_stop):
            return _Again(runner, _no_claim(slot), trial, on_progress).train(epochs)
    finally:
        keeper.close()
        sign_off(database, worker)


def _no_claim(slot: Slot) -> Claim:
    """What a trial's claim says of it, on a slot that does not exist: nothing can be written with it."""
    return Claim(
        slot_id=0,
        study_id=slot.study_id,
        attempt=0,
        ordinal=slot.ordinal,
        origin=Origin.ENQUEUED,  # it waits for a stage that another worker runs
        parameters=slot.parameters,
        optuna_number=slot.optuna_number,
        group_key=None,
        failures=0,
        losses=0,
        confirms=slot.confirms,
        seed=slot.seed,
    )


class _Again(TrialRun):
    """A trial's run that writes nothing of it but states of its own to go on from."""

    def __init__(self, runner: TrialRunner, claim: Claim, trial: OptunaTrial, on_progress: Progress) -> None:
        super().__init__(runner, claim, trial)
        self._on_progress = on_progress

    def train(self, epochs: int) -> tuple[StageRun, RunResult]:
        """The run after ``epochs`` epochs, and what it found."""
        config, dataset = self._inputs()
        folder = retraining_folder(self.runner.artifacts, self.claim.study_id, self.trial.number)
        states = _States(self.runner.artifacts, folder / f"{self.plan.own_stage.name}.pth")
        run = resumed(states, lambda: self._fresh(config, dataset)) or self._started(config, dataset)
        show, every = partial(self._show, epochs), self.runner.checkpoint_epochs
        driver = Driver(run, self.keeper, states.keep, show, every=every, until=epochs)
        for _ in driver.epochs():
            pass
        return run, run.result(self.keeper.check)

    def _progress(
        self,
        stage: str,
        epoch: int,
        epochs: int,
        fraction: float,
        loss: float | None,
        *,
        note: str | None = None,
        at_once: bool = False,
    ) -> None:
        del loss, note, at_once
        self._on_progress(stage, epoch, epochs, fraction)


class _States:
    """One file, beside those of the study's trials, until the weights are written."""

    def __init__(self, root: Path, path: Path) -> None:
        self._root, self._path = root, path

    def found(self) -> Sequence[Path]:
        return [self._path] if self._path.is_file() else []

    def resume(self, run: StageRun, path: Path) -> None:
        run.resume(path)

    def set_aside(self, path: Path, error: CheckpointError) -> None:
        _log.warning("The stage is run again from its beginning: %s", error)
        path.unlink(missing_ok=True)

    def keep(self, run: StageRun, before: int) -> None:
        del before
        require_store(self._root)
        run.save(self._path)
