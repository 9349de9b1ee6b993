"""A study with trials in every state, as the engine leaves them in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState as OptunaState

from tuner import space
from tuner.space import SearchSpace
from tuner.store import Database, StudyState, TrialState
from tuner.store.states import Origin, WorkerState
from tuner.store.tables import Epoch, Progress, SharedStage, Slot, StageEpoch, Study, Worker, utc_now

SPACE = "n_layers quniform 1,3,1\nlearning_rate loguniform -8,-2\nloss_type choice ['CE','BPR']\n"
KEY = "k" * 64


@dataclass(frozen=True)
class Filled:
    """The database, and the values of the trials that completed, by number."""

    database: Database
    values: dict[int, float]


def add_study(database: Database, name: str, text: str = SPACE, **columns: Any) -> tuple[int, SearchSpace]:
    """(our id, space) of a study without trials."""
    found = space.parse(text)
    study = optuna.create_study(storage=database.storage, study_name=name, direction="maximize")
    specification = {"name": name, "model": "S3Rec", "dataset": "walks", "space": found.to_json(), "config": {}}
    row = Study(
        name=name,
        specification=specification,
        optuna_name=name,
        optuna_id=database.storage.get_study_id_from_name(study.study_name),
        metric="ndcg@10",
        direction="maximize",
        sampler={"name": "tpe", "options": {}},
        pruner={"name": "none", "options": {}},
        **({"max_trials": 10, "workers": 2, "state": StudyState.RUNNING} | columns),
    )
    with database.transaction() as session:
        session.add(row)
        session.flush()
        return row.id, found


def add_trial(
    database: Database, name: str, ids: tuple[int, SearchSpace], state: TrialState, value: float | None = None
) -> int:
    """A trial in ``state``; returns its number."""
    study = optuna.load_study(study_name=name, storage=database.storage)
    trial = study.ask(fixed_distributions=ids[1].distributions())
    now = utc_now()
    slot = Slot(
        study_id=ids[0],
        ordinal=trial.number,
        origin=Origin.SAMPLED,
        state=state,
        optuna_number=trial.number,
        attempt=1,
        worker_id="w",
        stage_key=KEY,
        stage_epochs=2,
        epochs_asked=2,
        epochs_run=2 if trial.number == 0 else 0,
        epochs_reused=0 if trial.number == 0 else 2,
        started_at=now - timedelta(seconds=20),
        ended_at=now - timedelta(seconds=10) if state.ended else None,
    )
    if state is TrialState.FAILED:
        slot.error = {"type": "NonFiniteLoss", "message": "The loss is nan.", "traceback": "Traceback ..."}
    with database.transaction() as session:
        session.add(slot)
        session.flush()
        for epoch in (1, 2, 3):
            result = {"ndcg@10": 0.01 * epoch}
            values = {
                "loss": 5.0 / epoch,
                "mean_loss": 0.5 / epoch,
                "valid_score": 0.01 * epoch,
                "valid_result": result,
                "seconds": 1.0,
            }
            session.add(Epoch(slot_id=slot.id, stage="finetune", epoch=epoch, **values))
        if state is TrialState.RUNNING:
            session.add(
                Progress(
                    slot_id=slot.id, stage="finetune", epoch=4, epochs=50, fraction=0.5, loss=1.2, valid_score=0.03
                )
            )
    if state is TrialState.COMPLETED:
        trial.set_user_attr("valid_result", {"ndcg@10": value})
        trial.set_user_attr("test_result", {"ndcg@10": 0.9 * (value or 0)})
        trial.set_user_attr("best_epoch", 3)
        study.tell(trial, value)
    elif state is TrialState.PRUNED:
        trial.report(value or 0.0, 1)
        study.tell(trial, state=OptunaState.PRUNED)
    elif state is TrialState.FAILED:
        study.tell(trial, state=OptunaState.FAIL)
    return trial.number


@pytest.fixture
def filled(database: Database) -> Filled:
    """Six completed, one pruned, one failed and one running trial, and one that waits."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    baseline = {"valid": {"ndcg@10": 0.02}, "test": {"ndcg@10": 0.018}}
    with database.transaction() as session:
        lease = database.now(session) + 60
        session.add(Worker(id="w", host="here", pid=7, state=WorkerState.RUNNING, lease_expires=lease))
        session.add(Worker(id="gone", host="here", pid=8, state=WorkerState.LOST, lease_expires=0.0))
        session.add(SharedStage(key=KEY, model="S3Rec", stage="pretrain", dataset="walks"))
        session.flush()
        for epoch in (1, 2, 3):
            session.add(StageEpoch(stage_key=KEY, epoch=epoch, loss=100.0 / epoch, mean_loss=10.0 / epoch, seconds=2.0))
    ids = add_study(database, "study", baseline=baseline, started_at=utc_now(), running_since=utc_now())
    values = {}
    for value in (0.03, 0.05, 0.04, 0.05, 0.01, 0.045):
        values[add_trial(database, "study", ids, TrialState.COMPLETED, value)] = value
    add_trial(database, "study", ids, TrialState.PRUNED, 0.02)
    add_trial(database, "study", ids, TrialState.FAILED)
    add_trial(database, "study", ids, TrialState.RUNNING)
    with database.transaction() as session:
        session.add(Slot(study_id=ids[0], ordinal=99, origin=Origin.SAMPLED))
    return Filled(database, values)


@pytest.fixture
def empty(database: Database) -> Database:
    """A database with a study called "empty" that has no trials."""
    add_study(database, "empty")
    return database
