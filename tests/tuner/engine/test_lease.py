from __future__ import annotations

import pytest

from tuner.engine import lease
from tuner.engine.lease import Interrupted, Interruption, LeaseKeeper, StageLost
from tuner.store import Database, StudyState


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


def test_a_lost_stage_is_noticed_until_the_next_is_held(database: Database, keeper: LeaseKeeper) -> None:
    keeper.hold_stage("nobody has it")
    keeper._renew()
    for check in (keeper.check, keeper.check_stage):
        with pytest.raises(StageLost):
            check()
    keeper.hold_stage(None)
    keeper.check()
    keeper.check_stage()
