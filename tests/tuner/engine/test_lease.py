from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy.orm import Session

from tuner.engine.studies import steering
from tuner.engine.work import lease
from tuner.engine.work.lease import Interrupted, Interruption, LeaseKeeper, StageLost
from tuner.store import Database, StudyState, TrialState, claims
from tuner.store import workers as worker_rows
from tuner.store.claims import Claim
from tuner.store.states import WorkerState
from tuner.store.tables import Worker


@pytest.fixture
def keeper(database: Database) -> LeaseKeeper:
    """A keeper whose thread does not run: nothing happens to it but what the test does."""
    return LeaseKeeper(database, "w", 30.0)


def why(keeper: LeaseKeeper, *, between_epochs: bool = False) -> Interruption | None:
    try:
        keeper.check(between_epochs=between_epochs)
    except Interrupted as interrupted:
        return interrupted.why
    return None


def test_nothing_interrupts_a_worker_that_nobody_asked(keeper: LeaseKeeper) -> None:
    assert why(keeper) is why(keeper, between_epochs=True) is None
    assert not keeper.stopping


def test_an_epoch_has_the_grace_and_the_time_between_epochs_has_none(
    keeper: LeaseKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "GRACE_SECONDS", 1e9)
    keeper.ask_to_stop()
    assert why(keeper) is None
    assert why(keeper, between_epochs=True) is Interruption.SHUTDOWN
    monkeypatch.setattr(lease, "GRACE_SECONDS", -1.0)
    assert why(keeper) is Interruption.SHUTDOWN


def test_asking_again_does_not_lengthen_the_grace(keeper: LeaseKeeper) -> None:
    keeper.ask_to_stop()
    asked = keeper._stop_asked_at
    keeper.ask_to_stop()
    assert keeper._stop_asked_at == asked


@pytest.mark.parametrize(
    ("state", "expected"), [(None, Interruption.LOST), (StudyState.CANCELLED, Interruption.CANCELLED)]
)
def test_a_lost_claim_and_a_cancelled_study_end_the_trial_and_not_the_next(
    keeper: LeaseKeeper, state: StudyState | None, expected: Interruption
) -> None:
    keeper.note_state(state)
    keeper.note_state(StudyState.RUNNING)  # whoever looks again does not take it back
    assert why(keeper) is expected
    keeper.hold(None)
    assert why(keeper) is None


@pytest.fixture
def claim(database: Database, create: Callable[..., int]) -> Claim:
    create()
    with database.transaction() as session:
        session.add(Worker(id="w", host="h", pid=1, lease_expires=0.0))
        session.flush()
        claimed = claims.claim(session, database.now(session), "w", 30.0)
    assert claimed is not None
    return claimed


def test_a_cancellation_is_noticed_by_looking(database: Database, keeper: LeaseKeeper, claim: Claim) -> None:
    keeper.hold(claim)
    keeper.look()
    assert why(keeper) is None
    steering.cancel(database, "study")
    assert why(keeper) is None
    keeper.look()
    assert why(keeper) is Interruption.CANCELLED


def test_a_claim_that_went_to_another_is_noticed_by_looking(
    database: Database, keeper: LeaseKeeper, claim: Claim
) -> None:
    keeper.hold(claim)
    with database.transaction() as session:
        claims.finish(session, claim, TrialState.LOST)
    keeper.look()
    assert why(keeper) is Interruption.LOST


def test_a_look_at_a_trial_that_ended_meanwhile_does_not_concern_the_next(
    database: Database, keeper: LeaseKeeper, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    state_of_study = claims.state_of_study

    def slow(session: Session, looked_at: Claim) -> StudyState | None:
        state = state_of_study(session, looked_at)
        keeper.hold(replace(claim, attempt=2))
        return state

    keeper.hold(claim)
    steering.cancel(database, "study")
    monkeypatch.setattr(claims, "state_of_study", slow)
    keeper.look()
    assert why(keeper) is None


def test_a_cancellation_is_noticed_while_leases_are_long_and_the_sweep_takes_its_time(
    database: Database, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a renewal (every third of a lease) nor what comes after one decides how soon."""
    goes_on = threading.Event()
    sweeping = threading.Event()

    def slow(*_arguments: object) -> None:
        sweeping.set()
        goes_on.wait()

    keeper = LeaseKeeper(database, "w", 0.3, meanwhile=slow)
    keeper.hold(claim)
    keeper.start()
    sweeping.wait()
    steering.cancel(database, "study")
    try:
        while why(keeper) is None:
            time.sleep(0.01)
        assert why(keeper) is Interruption.CANCELLED
    finally:
        goes_on.set()
        keeper.close()


def test_a_lost_stage_is_noticed_until_the_next_is_held(database: Database, keeper: LeaseKeeper) -> None:
    keeper.hold_stage("nobody has it")
    keeper._renew()
    for check in (keeper.check, keeper.check_stage):
        with pytest.raises(StageLost):
            check()
    keeper.hold_stage(None)
    keeper.check()
    keeper.check_stage()


def test_a_worker_that_was_taken_for_lost_is_there_again(database: Database, keeper: LeaseKeeper) -> None:
    with database.transaction() as session:
        session.add(Worker(id="w", host="h", pid=1, lease_expires=0.0))
        session.flush()
        assert worker_rows.sweep_workers(session, 100.0) == 1
    keeper._renew()
    with database.session() as session:
        worker = session.get_one(Worker, "w")
        assert (worker.state, worker.ended_at) == (WorkerState.IDLE, None)
        assert worker.lease_expires > database.now(session)


def test_a_worker_that_signed_off_stays_so(database: Database, keeper: LeaseKeeper) -> None:
    with database.transaction() as session:
        session.add(Worker(id="w", host="h", pid=1, lease_expires=0.0, state=WorkerState.STOPPED))
    keeper._renew()
    with database.session() as session:
        assert session.get_one(Worker, "w").state is WorkerState.STOPPED
