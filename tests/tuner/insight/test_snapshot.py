from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from tuner.insight import snapshot
from tuner.store import Database, StudyState, TrialState
from tuner.store.tables import Slot, Study, utc_now

if TYPE_CHECKING:
    from tests.tuner.insight.conftest import Filled


def set_state(database: Database, state: StudyState) -> None:
    with database.transaction() as session:
        session.execute(sa.update(Study).values(state=state))


def end_running_trials(database: Database) -> None:
    with database.transaction() as session:
        running = sa.update(Slot).where(Slot.state == TrialState.RUNNING)
        session.execute(running.values(state=TrialState.COMPLETED, ended_at=utc_now()))


def test_a_paused_study_rests_when_its_last_trial_has_ended(filled: Filled) -> None:
    assert not snapshot.take(filled.database, "study").rests
    set_state(filled.database, StudyState.PAUSED)
    assert not snapshot.take(filled.database, "study").rests
    end_running_trials(filled.database)
    assert snapshot.take(filled.database, "study").rests


def test_a_running_study_without_running_trials_does_not_rest(filled: Filled) -> None:
    end_running_trials(filled.database)
    assert not snapshot.take(filled.database, "study").rests


def test_the_trials_that_ended_last_come_first(filled: Filled) -> None:
    ended = [trial.ended_at for trial in snapshot.take(filled.database, "study").ended]
    assert len(ended) == 8
    assert ended == sorted(ended, reverse=True)
