"""Worker processes that are stopped, killed and replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from tuner.engine.fleet.supervisor import Supervisor
from tuner.engine.search.replay import Replay, replay
from tuner.engine.studies import creation, steering
from tuner.engine.work.entry import run_worker
from tuner.settings import Settings
from tuner.space import SpaceParameter
from tuner.specification import PrunerSpecification, SamplerSpecification, StudySpecification
from tuner.store import Database, StudyState, TrialState
from tuner.store.claims import PRIORITY_BEGUN
from tuner.store.states import WorkerState
from tuner.store.tables import Epoch, Progress, SharedStage, Slot, StageEpoch, Worker

Create = Callable[..., int]
Make = Callable[..., StudySpecification]
StartWorker = Callable[..., "subprocess.Popen[bytes]"]
Hold = Callable[[str, int], Path]

SLOW = {"pause": 0.15, "epochs": 6, "pretrain_epochs": 6}


def wait(condition: Callable[[], object], seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def count(database: Database, table: type[Epoch] | type[StageEpoch]) -> int:
    with database.session() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def is_training(database: Database) -> bool:
    """Whether a batch of an epoch has been trained."""
    with database.session() as session:
        return bool(session.scalar(sa.select(Progress.fraction).where(Progress.fraction > 0)))


def only_slot(database: Database) -> Slot:
    with database.session() as session:
        return session.scalars(sa.select(Slot)).one()


def results(database: Database, name: str = "study") -> list[tuple[object, ...]]:
    trials = optuna.load_study(study_name=name, storage=database.storage).trials
    return sorted(
        (str(trial.params), trial.value, str(trial.intermediate_values), str(trial.user_attrs["test_result"]))
        for trial in trials
    )


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hold:
    """Keep workers that are started from now on at the beginning of an epoch (from 0) until the file is deleted."""

    def keep(stage: str, epoch: int) -> Path:
        file = tmp_path / "hold"
        file.touch()
        monkeypatch.setenv("TINY_HOLD", f"{stage}:{epoch}:{file}")
        return file

    return keep


def held_there(file: Path) -> int:
    """How many workers have come to where they are held."""
    return len(list(file.parent.glob(f"{file.name}-*")))


def worker_states(database: Database) -> list[WorkerState]:
    with database.session() as session:
        return list(session.scalars(sa.select(Worker.state)))


@pytest.fixture
def undisturbed(tmp_path: Path, settings: Settings, specification: Make) -> list[tuple[object, ...]]:
    """Results of the slow study that nothing happened to."""
    quiet = settings.model_copy(
        update={"home": tmp_path / "quiet", "database_url": f"sqlite:///{tmp_path / 'quiet' / 'tuner.db'}"}
    )
    database = Database(quiet.database)
    database.upgrade()
    creation.create(database, quiet, specification(space={"width": [4]}, config=SLOW | {"pause": 0.0}))
    run_worker(quiet, exit_when_idle=True)
    found = results(database)
    database.close()
    return found


@pytest.mark.parametrize(
    ("table", "stage"),
    [
        pytest.param(StageEpoch, "pretrain", id="pretraining", marks=pytest.mark.slow),
        pytest.param(Epoch, "finetune", id="finetuning"),
    ],
)
def test_a_killed_worker_costs_at_most_an_epoch_and_no_bit(
    database: Database,
    settings: Settings,
    create: Create,
    start: StartWorker,
    hold: Hold,
    undisturbed: list[tuple[object, ...]],
    table: type[Epoch] | type[StageEpoch],
    stage: str,
) -> None:
    study_id = create(space={"width": [4]}, config=SLOW)
    held = hold(stage, 3)
    first = start()
    wait(lambda: held_there(held))
    assert count(database, table) == 3
    first.kill()
    first.wait()
    held.unlink()
    assert only_slot(database).state is TrialState.RUNNING
    assert start().wait(180) == 0
    assert results(database) == undisturbed
    assert steering.find(database, study_id).state is StudyState.COMPLETED
    with database.session() as session:
        assert (session.scalar(sa.select(sa.func.sum(StageEpoch.times_run))) or 0) <= 7
        assert session.scalars(sa.select(SharedStage.holder)).all() == [None]
    (trial,) = optuna.load_study(study_name="study", storage=database.storage).trials
    assert trial.state is OptunaState.COMPLETE
    assert list(settings.artifacts.rglob("*.tmp")) == []


def test_a_worker_that_is_asked_to_stop_gives_its_trial_back(
    database: Database, create: Create, start: StartWorker, hold: Hold, undisturbed: list[tuple[object, ...]]
) -> None:
    create(space={"width": [4]}, config=SLOW)
    held = hold("finetune", 2)
    worker = start()
    wait(lambda: held_there(held))
    worker.send_signal(signal.SIGTERM)
    wait(lambda: worker_states(database) == [WorkerState.STOPPING])
    held.unlink()
    assert worker.wait(180) == 0
    slot = only_slot(database)
    assert (slot.state, slot.lease_expires, slot.losses) == (TrialState.WAITING, None, 0)
    with database.session() as session:
        assert session.scalars(sa.select(Worker.state)).all() == [WorkerState.STOPPED]
    assert count(database, Epoch) in (2, 3)
    assert start().wait(180) == 0
    assert results(database) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "most"), [(signal.SIGKILL, 6 + 3), (signal.SIGTERM, 6)])
def test_rarer_checkpoints_cost_that_many_epochs_at_most_and_no_bit(
    database: Database,
    create: Create,
    start: StartWorker,
    hold: Hold,
    undisturbed: list[tuple[object, ...]],
    ending: signal.Signals,
    most: int,
) -> None:
    create(space={"width": [4]}, config=SLOW)
    held = hold("pretrain", 3)
    worker = start(checkpoint_epochs=4)
    wait(lambda: held_there(held))
    worker.send_signal(ending)
    if ending is signal.SIGTERM:
        wait(lambda: worker_states(database) == [WorkerState.STOPPING])
    else:
        worker.wait()
    held.unlink()
    worker.wait(180)
    assert start(checkpoint_epochs=4).wait(180) == 0
    assert results(database) == undisturbed
    with database.session() as session:
        run = session.scalar(sa.select(sa.func.sum(StageEpoch.times_run))) or 0
    assert run == most if ending is signal.SIGTERM else 6 < run <= most


def test_a_long_epoch_is_abandoned_when_the_worker_must_stop(
    database: Database, create: Create, start: StartWorker
) -> None:
    # An epoch takes minutes, whatever else the machine does.
    create(space={"width": [4]}, config={"batch_pause": 2.0, "train_batch_size": 2})
    worker = start()
    wait(lambda: is_training(database))
    worker.send_signal(signal.SIGINT)
    assert worker.wait(180) == 0
    assert only_slot(database).state is TrialState.WAITING
    assert count(database, StageEpoch) == 0


def test_a_cancelled_study_stops_its_workers_between_two_batches(
    database: Database, create: Create, start: StartWorker
) -> None:
    # An epoch takes minutes, whatever else the machine does.
    study_id = create(space={"width": [4]}, config={"batch_pause": 1.0, "train_batch_size": 2})
    worker = start()
    wait(lambda: is_training(database))
    steering.cancel(database, study_id)
    assert worker.wait(120) == 0
    assert only_slot(database).state is TrialState.CANCELLED
    assert count(database, StageEpoch) == 0
    (trial,) = optuna.load_study(study_name="study", storage=database.storage).trials
    assert trial.state is OptunaState.FAIL


def test_a_worker_ends_with_the_process_that_started_it(database: Database, create: Create, start: StartWorker) -> None:
    create(space={"width": [4]}, config={"batch_pause": 0.1, "train_batch_size": 8})
    assert start("--parent", "1").wait(180) == 0
    assert only_slot(database).state is TrialState.WAITING


def test_a_supervisor_replaces_a_dead_worker_and_stops_the_live_ones(
    database: Database, settings: Settings, create: Create, hold: Hold
) -> None:
    study_id = create(space={"width": [4, 5, 6, 7]}, config=SLOW)
    held = hold("finetune", 1)
    supervisor = Supervisor(settings.model_copy(update={"workers": 2, "lease_seconds": 30.0}))
    supervisor.start()
    try:
        wait(lambda: held_there(held) == 2)
        with database.session() as session:
            pid = session.scalars(sa.select(Worker.pid).where(Worker.state == WorkerState.RUNNING)).first()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait(lambda: len(worker_states(database)) == 3)
        held.unlink()
        wait(lambda: steering.find(database, study_id).state is StudyState.COMPLETED)
    finally:
        supervisor.stop()
    with database.session() as session:
        states = sorted(session.scalars(sa.select(Worker.state)))
        assert set(session.scalars(sa.select(Slot.state))) == {TrialState.COMPLETED}
    assert states == [WorkerState.LOST, WorkerState.STOPPED, WorkerState.STOPPED]


@pytest.mark.slow
def test_two_workers_run_the_shared_epochs_once(database: Database, create: Create, start: StartWorker) -> None:
    space = {"pretrain_epochs": [2, 4, 6], "finetune.learning_rate": [0.1, 0.05]}
    create(space=space, config={"epochs": 2, "pause": 0.05})
    workers = [start(), start()]
    assert [worker.wait(240) for worker in workers] == [0, 0]
    with database.session() as session:
        assert session.scalar(sa.select(sa.func.sum(StageEpoch.times_run))) == 6
        assert session.scalar(sa.select(sa.func.sum(Slot.epochs_reused))) == 24 - 6
        assert set(session.scalars(sa.select(Slot.state))) == {TrialState.COMPLETED}


@pytest.mark.slow
def test_what_parallel_workers_asked_can_be_asked_again(
    database: Database, create: Create, start: StartWorker, hold: Hold
) -> None:
    rate = SpaceParameter("finetune.learning_rate", "loguniform", low=-5.0, high=-1.0)
    study_id = create(
        space={"finetune.learning_rate": rate, "width": [4, 8]},
        sampler=SamplerSpecification(name="tpe", options={"n_startup_trials": 2}),
        max_trials=12,
        config={"epochs": 2, "pause": 0.1},
    )
    held = hold("finetune", 1)
    workers = [start() for _ in range(3)]
    wait(lambda: held_there(held) == 3)
    held.unlink()
    workers[0].kill()
    for worker in workers[1:]:
        worker.wait(240)
    assert steering.find(database, study_id).state is StudyState.COMPLETED
    asked = optuna.load_study(study_name="study", storage=database.storage).trials
    assert any(trial.user_attrs["running"] for trial in asked)
    assert replay(database, study_id) == Replay("study", 12, ())


def test_an_ask_that_was_cut_off_gets_the_answer_that_it_would_have_got(
    database: Database, settings: Settings, create: Create
) -> None:
    rate = SpaceParameter("finetune.learning_rate", "loguniform", low=-5.0, high=-1.0)
    for name in ("whole", "cut"):
        create(
            name,
            space={"finetune.learning_rate": rate, "width": [4, 8]},
            sampler=SamplerSpecification(name="tpe", options={"n_startup_trials": 1}),
            max_trials=3,
            config={"epochs": 1},
        )
        if name == "cut":
            # What a worker leaves that dies when it has written what it was shown and one of two parameters.
            with database.transaction() as session:
                slot = session.scalars(sa.select(Slot).where(Slot.study_id == steering.find(database, name).id)).first()
                assert slot is not None
                slot.attempt, slot.optuna_number, slot.priority = 1, 0, PRIORITY_BEGUN
                slot_id = slot.id
            cut = optuna.load_study(study_name=name, storage=database.storage)
            first = optuna.load_study(study_name="whole", storage=database.storage).trials[0]
            trial = cut.ask()
            for key, value in (("slot", slot_id), ("running", ""), ("seen", "")):
                trial.set_user_attr(key, value)
            width = first.distributions["width"]
            database.storage.set_trial_param(
                trial._trial_id, "width", width.to_internal_repr(first.params["width"]), width
            )
        run_worker(settings, exit_when_idle=True)
    tried = [
        [trial.params for trial in optuna.load_study(study_name=name, storage=database.storage).trials]
        for name in ("whole", "cut")
    ]
    assert tried[0] == tried[1]


def _wait_for_epochs(database: Database, number: int) -> None:
    wait(lambda: count(database, Epoch) >= number)


@pytest.mark.slow
def test_promotions_survive_the_death_of_workers(database: Database, create: Create, start: StartWorker) -> None:
    study_id = create(
        space={"finetune.learning_rate": [0.001, 0.3, 0.01, 1.0, 0.1, 0.03]},
        pruner=PrunerSpecification(name="asha_promotion", options={"reduction_factor": 2}),
        config={"epochs": 4, "stopping_step": 100, "pause": 0.2, "pretrain_epochs": 1},
    )
    workers = [start(), start()]
    for epochs in (2, 5, 9):
        _wait_for_epochs(database, epochs)
        workers.pop(0).kill()
        workers.append(start())
    for worker in workers:
        worker.wait(240)
    assert steering.find(database, study_id).state is StudyState.COMPLETED
    trials = optuna.load_study(study_name="study", storage=database.storage).trials
    lengths = sorted(len(trial.intermediate_values) for trial in trials)
    assert len(trials) == 6
    assert set(lengths) <= {1, 2, 4}
    assert lengths[-1] == 4
    assert all((trial.state is OptunaState.COMPLETE) == (len(trial.intermediate_values) == 4) for trial in trials)
    with database.session() as session:
        ended = session.scalars(sa.select(Slot)).all()
    assert {slot.state for slot in ended} == {TrialState.COMPLETED, TrialState.PRUNED}
    assert {slot.lease_expires for slot in ended} == {None}
