"""Workers and services are killed at random; afterwards nothing is lost, doubled, or different by a bit."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import optuna
import psutil
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from tuner.engine.fleet.local import environment
from tuner.engine.studies import creation, steering
from tuner.engine.work.entry import run_worker
from tuner.settings import Settings
from tuner.specification import StudySpecification
from tuner.store import Database, StudyState, TrialState
from tuner.store.states import WorkerState
from tuner.store.tables import Epoch, Progress, SharedStage, Slot, StageEpoch, Worker

Make = Callable[..., StudySpecification]

KILLS = 30
SPACE = {"pretrain_epochs": [2, 4], "finetune.learning_rate": [0.1, 0.05, 0.02, 0.01], "width": [4, 8, 12]}


class Service:
    """The process that supervises workers; started again after it was killed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(Path(__file__).with_name("service.py"))]
        return subprocess.Popen(command, env=environment(self.settings))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process = self._start()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def workers(database: Database) -> list[psutil.Process]:
    """Worker processes that are alive and have registered."""
    alive = (WorkerState.IDLE, WorkerState.RUNNING)
    with database.session() as session:
        rows = session.execute(sa.select(Worker.pid, Worker.id).where(Worker.state.in_(alive))).all()
    found = []
    for pid, worker_id in rows:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if worker_id in process.cmdline():
                found.append(process)
    return found


def _wait_for_an_epoch(database: Database) -> None:
    def done() -> int:
        with database.session() as session:
            own = session.scalar(sa.select(sa.func.count()).select_from(Epoch)) or 0
            return own + int(session.scalar(sa.select(sa.func.sum(StageEpoch.times_run))) or 0)

    before, deadline = done(), time.monotonic() + 30
    while done() == before and time.monotonic() < deadline:
        time.sleep(0.05)


def results(database: Database) -> list[tuple[object, ...]]:
    trials = optuna.load_study(study_name="study", storage=database.storage).trials
    return sorted(
        (
            str(sorted(trial.params.items())),
            trial.value,
            str(trial.intermediate_values),
            str(trial.user_attrs.get("test_result")),
        )
        for trial in trials
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1])
def test_a_study_survives_any_number_of_deaths(
    database: Database, settings: Settings, specification: Make, tmp_path: Path, seed: int
) -> None:
    quiet = settings.model_copy(
        update={"home": tmp_path / "quiet", "database_url": f"sqlite:///{tmp_path / 'quiet' / 'tuner.db'}"}
    )
    undisturbed = Database(quiet.database)
    undisturbed.upgrade()
    creation.create(undisturbed, quiet, specification(space=SPACE, config={"epochs": 5}))
    run_worker(quiet, exit_when_idle=True)
    expected = results(undisturbed)

    study_id = creation.create(database, settings, specification(space=SPACE, config={"epochs": 5, "pause": 0.4})).id
    rng = random.Random(seed)
    service = Service(settings.model_copy(update={"workers": 2, "lease_seconds": 2.0}))
    killed = 0
    try:
        deadline = time.monotonic() + 800
        while not steering.find(database, study_id).state.ended:
            assert time.monotonic() < deadline
            if rng.random() < 0.7:
                _wait_for_an_epoch(database)  # or a trial would lose six workers in a row, and be given up
            time.sleep(rng.uniform(0.0, 2.0))
            victims = workers(database)
            if killed < KILLS and rng.random() < 0.15:
                service.kill()
                killed += 1
            elif killed < KILLS and victims:
                with suppress(psutil.Error):
                    rng.choice(victims).kill()
                    killed += 1
    finally:
        service.stop()

    assert killed == KILLS
    with database.session() as session:
        assert [error for error in session.scalars(sa.select(Slot.error)) if error is not None] == []
    assert steering.find(database, study_id).state is StudyState.COMPLETED
    trials = optuna.load_study(study_name="study", storage=database.storage).trials
    assert {trial.state for trial in trials} == {OptunaState.COMPLETE}
    assert results(database) == expected
    with database.session() as session:
        assert set(session.scalars(sa.select(Slot.state))) == {TrialState.COMPLETED}
        assert set(session.scalars(sa.select(Slot.lease_expires))) == {None}
        assert set(session.scalars(sa.select(SharedStage.holder))) == {None}
        assert session.scalars(sa.select(Progress)).all() == []
    assert list(settings.artifacts.rglob("*.tmp")) == []
