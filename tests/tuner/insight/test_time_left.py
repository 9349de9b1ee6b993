"""The time left of made studies: exactly what the arithmetic gives."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.trial import create_trial

from tests.tuner.insight.conftest import add_study
from tuner import insight
from tuner.store import Database, StudyState, TrialState
from tuner.store.states import Origin
from tuner.store.tables import Epoch, SharedStage, Slot, StageEpoch, utc_now

FIRST, SECOND = "a" * 64, "b" * 64


class Made:
    """A study with trials of a known cost; an epoch of a shared stage takes 10 s."""

    def __init__(self, database: Database) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.database = database
        self.id, _ = add_study(database, "study")
        self._number = 0

    def stage(self, key: str, trained: int, before: str | None = None, before_epoch: int | None = None) -> None:
        with self.database.transaction() as session:
            session.add(
                SharedStage(key=key, model="m", stage="s", dataset="d", before_key=before, before_epoch=before_epoch)
            )
            session.flush()
            for epoch in range(1, trained + 1):
                session.add(StageEpoch(stage_key=key, epoch=epoch, loss=1.0, seconds=10.0))

    def trial(
        self, state: TrialState, own: float = 0.0, test: float = 0.0, shared: float = 0.0, **columns: Any
    ) -> None:
        number = None
        if state is not TrialState.WAITING:
            number, self._number = self._number, self._number + 1
            study = optuna.load_study(study_name="study", storage=self.database.storage)
            ended = state is TrialState.COMPLETED
            study.add_trial(
                create_trial(
                    state=optuna.trial.TrialState.COMPLETE if ended else optuna.trial.TrialState.RUNNING,
                    value=0.1 if ended else None,
                    user_attrs={"seconds": {"finetune": own, "test": test}} if ended else {},
                )
            )
        with self.database.transaction() as session:
            place = len(session.query(Slot).all())
            slot = Slot(
                study_id=self.id,
                ordinal=place,
                state=state,
                optuna_number=number,
                started_at=None if number is None else utc_now(),
                seconds_run=own + shared,
                **{"origin": Origin.GRID} | columns,
            )
            session.add(slot)
            session.flush()
            if own:
                session.add(Epoch(slot_id=slot.id, stage="finetune", epoch=1, seconds=own))

    @property
    def left(self) -> float | None:
        return insight.get_study(self.database, "study").eta_seconds


@pytest.fixture
def made(database: Database) -> Made:
    return Made(database)


def test_what_is_left_is_shared_by_the_trials_that_run(made: Made) -> None:
    made.trial(TrialState.COMPLETED, own=6.0, test=2.0)
    made.trial(TrialState.COMPLETED, own=10.0, test=2.0)
    for _ in range(4):
        made.trial(TrialState.WAITING)
    assert made.left == pytest.approx(4 * 10.0)
    made.trial(TrialState.RUNNING, own=4.0)
    made.trial(TrialState.RUNNING, own=30.0)
    assert made.left == pytest.approx((4 * 10.0 + 6.0) / 2)


def test_pretraining_is_counted_once_however_many_trials_wait_for_it(made: Made) -> None:
    made.stage(FIRST, trained=5)
    made.trial(TrialState.COMPLETED, own=8.0, shared=50.0, stage_key=FIRST, stage_epochs=5)
    for epochs in (5, 8, 8, 8):
        made.trial(TrialState.WAITING, stage_key=FIRST, stage_epochs=epochs)
    assert made.left == pytest.approx(4 * 8.0 + 3 * 10.0)


def test_a_group_that_has_not_begun_is_counted_once_too(made: Made) -> None:
    made.stage(FIRST, trained=5)
    made.trial(TrialState.COMPLETED, own=8.0, shared=50.0, stage_key=FIRST, stage_epochs=5)
    for epochs in (2, 4):
        made.trial(TrialState.WAITING, group_key="other", stage_epochs=epochs)
    assert made.left == pytest.approx(2 * 8.0 + 4 * 10.0)
    made.trial(TrialState.RUNNING, stage_key=FIRST, stage_epochs=7)
    made.trial(TrialState.RUNNING, stage_key=FIRST, stage_epochs=7)
    # Two stages, two workers; their trials, too, run two at a time.
    assert made.left == pytest.approx(4 * 8.0 / 2 + (4 * 10.0 + 2 * 10.0) / 2)


def test_the_stage_before_is_counted_where_the_later_one_has_not_begun(made: Made) -> None:
    made.stage(FIRST, trained=1)
    made.stage(SECOND, trained=0, before=FIRST, before_epoch=3)
    made.trial(TrialState.COMPLETED, own=8.0)
    made.trial(TrialState.WAITING, stage_key=SECOND, stage_epochs=4)
    assert made.left == pytest.approx(8.0 + 4 * 10.0 + 2 * 10.0)


def test_sampled_trials_are_expected_to_cost_what_those_after_the_first_did(made: Made) -> None:
    made.stage(FIRST, trained=5)
    sampled: dict[str, Any] = {"origin": Origin.SAMPLED}
    made.trial(TrialState.COMPLETED, own=8.0, shared=50.0, stage_key=FIRST, stage_epochs=5, **sampled)
    made.trial(TrialState.WAITING, **sampled)
    made.trial(TrialState.WAITING, **sampled)
    assert made.left == pytest.approx(2 * 8.0)
    made.trial(TrialState.COMPLETED, own=8.0, shared=20.0, stage_key=FIRST, stage_epochs=5, **sampled)
    assert made.left == pytest.approx(2 * 8.0 + 2 * 20.0)


def test_nothing_is_said_where_nothing_tells(made: Made) -> None:
    made.trial(TrialState.WAITING)
    assert made.left is None
    made.trial(TrialState.COMPLETED, own=8.0)
    assert made.left == pytest.approx(8.0)
    with made.database.transaction() as session:
        from tuner.store.tables import Study

        session.get_one(Study, made.id).state = StudyState.PAUSED
    assert made.left is None
