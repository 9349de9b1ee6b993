"""Ending studies whose work is done, and pausing those that go wrong."""

from __future__ import annotations

import optuna
from optuna.study import StudyDirection

from tuner.engine.course import confirmation
from tuner.engine.course.promotion import end_paused
from tuner.engine.course.stopping import reason_to_end, standing
from tuner.engine.search.trials import of_the_search
from tuner.specification import StudySpecification
from tuner.store import Database, Session, StudyState, TrialState
from tuner.store import rungs as rung_rows
from tuner.store import slots as slot_rows
from tuner.store import studies as study_rows
from tuner.store.tables import Study, utc_now


def settle(database: Database, study_id: int) -> None:
    """Pause or end the study if it is time to; safe for several processes at once."""
    reason = _rule_met(database, study_id)
    while _waits_for_paused(database, study_id, reason):
        end_paused(database, study_id)


def end_soon(session: Session, study: Study, ends_as: StudyState, reason: str) -> None:
    """Give out no new trials, and end as ``ends_as`` when those that were begun have ended."""
    if slot_rows.has_work_begun(session, study.id) or rung_rows.any_paused(session, study.id):
        study_rows.set_state(session, study, StudyState.STOPPING, reason)
        study.ends_as = ends_as
    else:
        study_rows.set_state(session, study, ends_as, reason)


def _waits_for_paused(database: Database, study_id: int, reason: str | None) -> bool:
    """Settle the study, unless it ends and trials that wait for a promotion must be ended before it."""
    with database.transaction() as session:
        study = study_rows.get(session, study_id, lock=True)
        if study is None or study.state.ended:
            return False
        paused = rung_rows.any_paused(session, study_id)
        if study.state is StudyState.STOPPING:
            if paused:
                return True
            if not slot_rows.has_work_begun(session, study_id) and not _goes_on_to_confirm(database, session, study):
                study_rows.set_state(session, study, study.ends_as or StudyState.STOPPED, study.reason)
        elif not slot_rows.has_open(session, study_id):
            if paused:
                return True
            _complete(database, session, study)
        elif study.state is StudyState.RUNNING and (why := _failing(session, study)):
            study_rows.set_state(session, study, StudyState.PAUSED, why)
        elif study.state is not StudyState.PAUSED and reason is not None:
            if not paused and not slot_rows.has_work_begun(session, study_id):
                confirmation.add_missing(database, session, study)
            end_soon(session, study, StudyState.COMPLETED, reason)
            return paused
    return False


def _complete(database: Database, session: Session, study: Study) -> None:
    counts = slot_rows.count_slots(session, study.id)
    done = counts.get(TrialState.COMPLETED, 0) + counts.get(TrialState.PRUNED, 0)
    total = sum(counts.values())
    if done == 0:
        study_rows.set_state(session, study, StudyState.FAILED, f"none of {total} trials succeeded")
        return
    reason = f"all {total} trials are done" if done == total else f"{done} of {total} trials succeeded"
    # Confirmations are work that has begun: with them, the study is stopping until they are done.
    confirmation.add_missing(database, session, study)
    end_soon(session, study, StudyState.COMPLETED, reason)


def _goes_on_to_confirm(database: Database, session: Session, study: Study) -> bool:
    """Whether confirmations were added; a study that a person stopped does not get them."""
    return study.ends_as is StudyState.COMPLETED and confirmation.add_missing(database, session, study)


def _failing(session: Session, study: Study) -> str | None:
    """Why the study should pause: its last trials all failed."""
    limit = StudySpecification.model_validate(study.specification).max_failures
    last = slot_rows.last_ended(session, study, limit)
    if len(last) < limit or any(slot.state not in (TrialState.FAILED, TrialState.LOST) for slot in last):
        return None
    error = last[0].error or {}
    return f"{limit} failures in a row, the last: {error.get('type', '?')}: {error.get('message', '?')}"


def _rule_met(database: Database, study_id: int) -> str | None:
    with database.session() as session:
        study = study_rows.get(session, study_id)
        computing = slot_rows.computing_seconds(session, study_id)
    if study is None or study.state is not StudyState.RUNNING:
        return None
    specification = StudySpecification.model_validate(study.specification)
    trials: list[optuna.trial.FrozenTrial] = []
    if specification.early_stop is not None or specification.target_value is not None:
        optuna_study = optuna.load_study(study_name=study.optuna_name, storage=database.storage)
        trials = of_the_search(optuna_study.get_trials(deepcopy=False))
    direction = StudyDirection[study.direction.upper()]
    since = 0.0 if study.running_since is None else (utc_now() - study.running_since).total_seconds()
    seconds = study.seconds_before + since
    return reason_to_end(specification, standing(trials, direction, seconds, computing))
