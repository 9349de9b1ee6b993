from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest
import sqlalchemy as sa

from tuner.engine.course.ending import settle
from tuner.engine.course.sweep import sweep
from tuner.engine.studies import additions, steering
from tuner.errors import SpaceError, SpecificationError, StudyNotFound, StudyStateError, TrialNotFound
from tuner.settings import Settings
from tuner.specification import SamplerSpecification
from tuner.store import Database, StudyState, TrialState, claims
from tuner.store import workers as worker_rows
from tuner.store.claims import Claim
from tuner.store.states import Origin
from tuner.store.tables import Event, Slot, Study, Worker

Create = Callable[..., int]


def claim(database: Database, *, begin: bool = True) -> Claim:
    """Claim a trial as a worker would, and begin it in Optuna."""
    with database.transaction() as session:
        session.merge(Worker(id="w", host="h", pid=1, lease_expires=0.0))
        claimed = claims.claim(session, database.now(session), "w", 30.0)
        assert claimed is not None
        name = session.get_one(Study, claimed.study_id).optuna_name
    if begin:
        number = optuna.load_study(study_name=name, storage=database.storage).ask().number
        with database.transaction() as session:
            assert claims.link(session, claimed, number)
    return claimed


def finish(database: Database, claimed: Claim, state: TrialState = TrialState.COMPLETED) -> None:
    with database.transaction() as session:
        claims.finish(session, claimed, state, {"type": "E", "message": "m"})
    settle(database, claimed.study_id)


def state(database: Database, study_id: int) -> tuple[StudyState, str | None]:
    record = steering.find(database, study_id)
    return record.state, record.reason


def test_studies_are_found_by_name_and_by_id(database: Database, create: Create) -> None:
    study_id = create("one")
    assert steering.find(database, "one").id == steering.find(database, study_id).id == study_id
    with pytest.raises(StudyNotFound, match="'two'"):
        steering.find(database, "two")


def test_pause_keeps_running_trials_and_resume_goes_on(database: Database, create: Create) -> None:
    study_id = create()
    claimed = claim(database)
    assert steering.pause(database, study_id).state is StudyState.PAUSED
    with database.transaction() as session:
        assert claims.renew(session, 0.0, claimed, 30.0) is StudyState.PAUSED
        assert claims.claim(session, database.now(session), "w", 30.0) is None
    assert steering.resume(database, study_id).state is StudyState.RUNNING
    claim(database)


def test_verbs_may_be_said_twice(database: Database, create: Create) -> None:
    study_id = create()
    for verb in (steering.pause, steering.pause, steering.resume, steering.resume, steering.stop, steering.stop):
        verb(database, study_id)
    assert state(database, study_id) == (StudyState.STOPPED, "stopped by request")
    steering.resume(database, study_id)
    steering.cancel(database, study_id)
    assert steering.cancel(database, study_id).state is StudyState.CANCELLED


@pytest.mark.parametrize("verb", [steering.pause, steering.resume, steering.stop])
def test_a_cancelled_study_stays_so(
    database: Database, create: Create, verb: Callable[[Database, int], object]
) -> None:
    study_id = create()
    steering.cancel(database, study_id)
    with pytest.raises(StudyStateError, match="it is cancelled"):
        verb(database, study_id)


def test_stop_lets_running_trials_finish(database: Database, create: Create) -> None:
    study_id = create()
    claimed = claim(database)
    assert steering.stop(database, study_id).state is StudyState.STOPPING
    settle(database, study_id)
    assert state(database, study_id)[0] is StudyState.STOPPING
    finish(database, claimed)
    assert state(database, study_id) == (StudyState.STOPPED, "stopped by request")


def test_cancel_ends_waiting_trials_and_tells_running_ones(database: Database, create: Create) -> None:
    study_id = create()
    claimed = claim(database)
    steering.cancel(database, study_id)
    with database.transaction() as session:
        states = set(session.scalars(sa.select(Slot.state)))
        assert claims.renew(session, 0.0, claimed, 30.0) is StudyState.CANCELLED
    assert states == {TrialState.CANCELLED, TrialState.RUNNING}


def test_cancelled_trials_without_a_worker_end_in_optuna_too(database: Database, create: Create) -> None:
    study_id = create()
    claimed = claim(database)
    with database.transaction() as session:
        claims.release(session, claimed)
    steering.cancel(database, study_id)
    sweep(database, 30.0)
    trial = optuna.load_study(study_name="study", storage=database.storage).trials[0]
    assert trial.state is optuna.trial.TrialState.FAIL
    with database.session() as session:
        assert set(session.scalars(sa.select(Slot.state))) == {TrialState.CANCELLED}


def test_a_study_whose_trials_are_done_is_completed(database: Database, create: Create) -> None:
    study_id = create()
    for _ in range(2):
        finish(database, claim(database))
    assert state(database, study_id) == (StudyState.COMPLETED, "all 2 trials are done")


def test_a_study_without_a_success_has_failed(database: Database, create: Create) -> None:
    study_id = create()
    for _ in range(2):
        finish(database, claim(database), TrialState.FAILED)
    assert state(database, study_id) == (StudyState.FAILED, "none of 2 trials succeeded")


def test_failures_in_a_row_pause_the_study_until_it_is_resumed(database: Database, create: Create) -> None:
    study_id = create(space={"width": [1, 2, 3, 4, 5]}, max_failures=2)
    finish(database, claim(database))
    for _ in range(2):
        finish(database, claim(database), TrialState.FAILED)
    assert state(database, study_id) == (StudyState.PAUSED, "2 failures in a row, the last: E: m")
    steering.resume(database, study_id)
    finish(database, claim(database), TrialState.FAILED)
    assert state(database, study_id)[0] is StudyState.RUNNING


def test_a_lost_trial_waits_to_be_continued(database: Database, create: Create) -> None:
    create()
    claimed = claim(database)
    with database.transaction() as session:
        worker_rows.expire_worker(session, "w")
    sweep(database, 30.0)
    again = claim(database, begin=False)
    assert (again.slot_id, again.losses, again.optuna_number) == (claimed.slot_id, 1, 0)
    with database.session() as session:
        messages = list(session.scalars(sa.select(Event.message).where(Event.kind == "lost")))
    assert messages == ["Worker w (process 1 on h) is gone, which ran trial 0; it will be continued (loss 1)."]


def test_a_trial_that_loses_every_worker_is_given_up(database: Database, create: Create) -> None:
    create(space={"width": [1]})
    for attempt in range(6):
        claim(database, begin=attempt == 0)
        with database.transaction() as session:
            worker_rows.expire_worker(session, "w")
        sweep(database, 30.0)
    with database.session() as session:
        slot = session.scalars(sa.select(Slot)).one()
    assert slot.state is TrialState.LOST
    assert slot.error is not None
    why = "Trial 0 lost its worker 6 times, the last time worker w (process 1 on h), and is given up."
    assert slot.error["message"] == why
    with database.session() as session:
        found = session.scalars(sa.select(Event).where(Event.kind == "given_up")).one()
    assert (found.message, found.trial) == (why, 0)
    trial = optuna.load_study(study_name="study", storage=database.storage).trials[0]
    assert trial.state is optuna.trial.TrialState.FAIL


def test_a_time_limit_ends_a_study_and_says_so(database: Database, create: Create) -> None:
    study_id = create(timeout_seconds=0.001)
    claimed = claim(database)
    settle(database, study_id)
    assert state(database, study_id)[0] is StudyState.STOPPING
    finish(database, claimed)
    assert state(database, study_id) == (StudyState.COMPLETED, "time limit: 0.001 seconds are used")


def test_the_sweep_ends_a_study_whose_last_worker_died_before_it_could(database: Database, create: Create) -> None:
    study_id = create(space={"width": [4]})
    claimed = claim(database)
    with database.transaction() as session:
        claims.finish(session, claimed, TrialState.COMPLETED)
    assert state(database, study_id)[0] is StudyState.RUNNING
    sweep(database, 30.0)
    assert state(database, study_id) == (StudyState.COMPLETED, "all 1 trials are done")


def test_deleting_removes_rows_files_and_the_optuna_study(
    database: Database, settings: Settings, create: Create
) -> None:
    study_id = create()
    folder = settings.artifacts / "studies" / str(study_id)
    folder.mkdir(parents=True)
    claimed = claim(database)
    with pytest.raises(StudyStateError, match="Cancel it first"):
        steering.delete_study(database, settings, study_id)
    steering.cancel(database, study_id)
    with pytest.raises(StudyStateError, match="still ending"):
        steering.delete_study(database, settings, study_id)
    finish(database, claimed, TrialState.CANCELLED)
    steering.delete_study(database, settings, study_id)
    assert not folder.exists()
    assert optuna.get_all_study_names(database.storage) == []
    with database.session() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Slot)) == 0


def test_ids_of_deleted_studies_are_not_used_again(database: Database, settings: Settings, create: Create) -> None:
    first = create("one")
    steering.delete_study(database, settings, first)
    assert create("two") > first


def test_a_raised_budget_continues_the_grid(database: Database, create: Create) -> None:
    study_id = create(space={"width": [1, 2, 3]}, max_trials=2, sampler=SamplerSpecification(name="exhaustive"))
    for _ in range(2):
        finish(database, claim(database))
    assert state(database, study_id)[0] is StudyState.COMPLETED
    with pytest.raises(SpecificationError, match="3 combinations, of which 1"):
        additions.raise_budget(database, study_id, 4)
    assert additions.raise_budget(database, study_id, 3).state is StudyState.RUNNING
    assert claim(database).parameters == {"width": 3}


def test_a_raised_budget_gives_the_sampler_more_trials(database: Database, create: Create) -> None:
    study_id = create(space={"width": [1, 2, 3]}, max_trials=2, sampler=SamplerSpecification(name="random"))
    with pytest.raises(SpecificationError, match="budget of 2"):
        additions.raise_budget(database, study_id, 2)
    assert additions.raise_budget(database, study_id, 5).max_trials == 5
    with database.session() as session:
        assert list(session.scalars(sa.select(Slot.ordinal))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("parameters", [{}, {"width": 9}, {"width": 1, "depth": 2}])
def test_only_parameters_of_the_space_are_enqueued(
    database: Database, create: Create, parameters: dict[str, Any]
) -> None:
    study_id = create(space={"width": [1, 2, 3]})
    with pytest.raises(SpaceError):
        additions.enqueue(database, study_id, parameters)


def test_an_enqueued_trial_is_next(database: Database, create: Create) -> None:
    study_id = create(space={"width": [1, 2, 3]})
    additions.enqueue(database, study_id, {"width": 2})
    claimed = claim(database, begin=False)
    assert (claimed.parameters, claimed.origin) == ({"width": 2}, Origin.ENQUEUED)


def test_a_failed_trial_can_be_run_again(database: Database, create: Create) -> None:
    study_id = create(space={"width": [1]})
    claimed = claim(database, begin=False)
    number = (
        optuna.load_study(study_name="study", storage=database.storage)
        .ask({"width": optuna.distributions.CategoricalDistribution([1])})
        .number
    )
    with database.transaction() as session:
        claims.link(session, claimed, number)
    with pytest.raises(StudyStateError, match="Trial 0 is running"):
        additions.retry_trial(database, study_id, 0)
    finish(database, claimed, TrialState.FAILED)
    assert additions.retry_trial(database, study_id, 0).state is StudyState.RUNNING
    again = claim(database, begin=False)
    assert (again.parameters, again.origin) == ({"width": 1}, Origin.RETRIED)
    with pytest.raises(TrialNotFound, match="no trial 7"):
        additions.retry_trial(database, study_id, 7)
