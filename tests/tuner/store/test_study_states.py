from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from tuner.store import Database, StudyState
from tuner.store import studies as study_rows
from tuner.store.tables import Study, utc_now


def add_study(session: Session) -> Study:
    names = {"name": "study", "optuna_name": "study", "optuna_id": 1, "metric": "ndcg@10", "direction": "maximize"}
    study = Study(**names, specification={}, sampler={}, pruner={}, max_trials=1)
    session.add(study)
    session.flush()
    return study


def test_a_studys_clock_adds_up_what_it_ran_between_its_pauses(database: Database) -> None:
    with database.transaction() as session:
        study = add_study(session)
        for seconds in (100.0, 50.0, 7.0):
            study_rows.set_state(session, study, StudyState.RUNNING, None)
            assert study.running_since is not None
            study.running_since -= timedelta(seconds=seconds)
            study_rows.set_state(session, study, StudyState.PAUSED, None)
            assert study.running_since is None
        assert study.seconds_before == pytest.approx(157.0, abs=1.0)


def test_a_study_that_stops_has_one_clock_for_both_states(database: Database) -> None:
    with database.transaction() as session:
        study = add_study(session)
        study_rows.set_state(session, study, StudyState.RUNNING, None)
        began = study.running_since = utc_now() - timedelta(seconds=10)
        study_rows.set_state(session, study, StudyState.STOPPING, None)
        assert (study.running_since, study.seconds_before) == (began, 0.0)
