"""Noticing what died, and ending studies that are over; all workers and supervisors do it now and then.

All of it may be done by several processes at once: each step either finds its condition still true or does
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState as OptunaState
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from tuner.engine.failures import MAX_LOSSES
from tuner.engine.stopping import reason_to_end, standing
from tuner.engine.study import end_soon
from tuner.specification import StudySpecification
from tuner.store import Database, StudyState, TrialState
from tuner.store import claims as claim_rows
from tuner.store import repository as rows
from tuner.store.claims import Claim
from tuner.store.tables import Slot, Study, utc_now

_GOING = (StudyState.QUEUED, StudyState.RUNNING, StudyState.PAUSED, StudyState.STOPPING)


def sweep(database: Database, lease_seconds: float) -> None:
    """Give back or end trials whose worker died, free what it held, and end studies that are over."""
    with database.session() as session:
        now = database.now(session)
        silent = claim_rows.expired(session, now)
        going = session.scalars(select(Study.id).where(Study.state.in_(_GOING))).all()
        cancelled = _cancelled(session, silent)
    for slot in silent:
        if slot.study_id in cancelled:
            _end(database, slot, lease_seconds, TrialState.CANCELLED)
        elif slot.losses + 1 > MAX_LOSSES:
            _end(database, slot, lease_seconds, TrialState.LOST)
        else:
            _give_back(database, slot)
    with database.transaction() as session:
        claim_rows.sweep_workers(session, database.now(session))
    for study_id in going:
        settle(database, study_id)


def settle(database: Database, study_id: int) -> None:
    """Pause or end the study if it is time to."""
    reason = _rule_met(database, study_id)
    with database.transaction() as session:
        study = session.scalar(select(Study).where(Study.id == study_id).with_for_update())
        if study is None or study.state.ended:
            return
        if study.state is StudyState.STOPPING:
            if not rows.has_work_begun(session, study_id):
                rows.set_state(session, study, study.ends_as or StudyState.STOPPED, study.reason)
        elif not _has_open_slots(session, study_id):
            _complete(session, study)
        elif study.state is StudyState.RUNNING and (why := _failing(session, study)):
            rows.set_state(session, study, StudyState.PAUSED, why)
        elif study.state is not StudyState.PAUSED and reason is not None:
            end_soon(session, study, StudyState.COMPLETED, reason)


def fail_optuna_trial(database: Database, optuna_name: str, number: int, why: str) -> None:
    """End the Optuna trial as FAIL, unless it has ended."""
    study = optuna.load_study(study_name=optuna_name, storage=database.storage)
    try:
        trial_id = database.storage.get_trial_id_from_study_id_trial_number(
            database.storage.get_study_id_from_name(optuna_name), number
        )
        database.storage.set_trial_user_attr(trial_id, "error", why)
        study.tell(number, state=OptunaState.FAIL, skip_if_finished=True)
    except UpdateFinishedTrialError:
        return


def _cancelled(session: Session, slots: Sequence[Slot]) -> set[int]:
    if not slots:
        return set()
    ids = {slot.study_id for slot in slots}
    query = select(Study.id).where(Study.id.in_(ids), Study.state == StudyState.CANCELLED)
    return set(session.scalars(query))


def _give_back(database: Database, slot: Slot) -> None:
    with database.transaction() as session:
        now = database.now(session)
        claim = claim_rows.take_over(session, now, slot, 0.0)
        if claim is not None and claim_rows.release(session, claim, losses=slot.losses + 1):
            rows.add_event(
                session,
                slot.study_id,
                "lost",
                f"The worker of {_called(slot)} is gone; it will be continued (loss {slot.losses + 1}).",
                trial=slot.optuna_number,
            )


def _end(database: Database, slot: Slot, lease_seconds: float, state: TrialState) -> None:
    """Claim the slot, end its Optuna trial, then the slot; a crash on the way is found by the next sweep."""
    with database.transaction() as session:
        claim = claim_rows.take_over(session, database.now(session), slot, lease_seconds)
        study = session.get(Study, slot.study_id)
    if claim is None or study is None:
        return
    why = _reason(state, slot)
    if claim.optuna_number is not None:
        fail_optuna_trial(database, study.optuna_name, claim.optuna_number, why)
    with database.transaction() as session:
        error = None if state is TrialState.CANCELLED else _loss(why)
        if claim_rows.finish(session, claim, state, error):
            rows.add_event(session, slot.study_id, str(state), why, trial=slot.optuna_number)
    settle(database, slot.study_id)


def _reason(state: TrialState, slot: Slot) -> str:
    if state is TrialState.CANCELLED:
        return f"{_called(slot)} was cancelled with its study."
    return f"{_called(slot)} lost its worker {slot.losses + 1} times and is given up."


def _loss(why: str) -> dict[str, str]:
    return {"kind": "lost", "type": "WorkerLost", "message": why, "traceback": ""}


def _called(slot: Slot) -> str:
    return f"a trial (slot {slot.ordinal})" if slot.optuna_number is None else f"trial {slot.optuna_number}"


def _has_open_slots(session: Session, study_id: int) -> bool:
    waiting_or_running = exists().where(
        Slot.study_id == study_id, Slot.state.in_((TrialState.WAITING, TrialState.RUNNING))
    )
    return bool(session.scalar(select(waiting_or_running)))


def _complete(session: Session, study: Study) -> None:
    counts = rows.count_slots(session, study.id)
    done = counts.get(TrialState.COMPLETED, 0) + counts.get(TrialState.PRUNED, 0)
    total = sum(counts.values())
    if done == 0:
        rows.set_state(session, study, StudyState.FAILED, f"none of {total} trials succeeded")
    elif done < total:
        rows.set_state(session, study, StudyState.COMPLETED, f"{done} of {total} trials succeeded")
    else:
        rows.set_state(session, study, StudyState.COMPLETED, f"all {total} trials are done")


def _failing(session: Session, study: Study) -> str | None:
    """Why the study should pause: its last trials all failed."""
    limit = StudySpecification.model_validate(study.specification).max_failures
    last = rows.last_ended(session, study, limit)
    if len(last) < limit or any(slot.state not in (TrialState.FAILED, TrialState.LOST) for slot in last):
        return None
    error = last[0].error or {}
    return f"{limit} failures in a row, the last: {error.get('type', '?')}: {error.get('message', '?')}"


def _rule_met(database: Database, study_id: int) -> str | None:
    with database.session() as session:
        study = session.get(Study, study_id)
    if study is None or study.state is not StudyState.RUNNING:
        return None
    specification = StudySpecification.model_validate(study.specification)
    trials: list[optuna.trial.FrozenTrial] = []
    optuna_study = optuna.load_study(study_name=study.optuna_name, storage=database.storage)
    if specification.early_stop is not None or specification.target_value is not None:
        trials = optuna_study.get_trials(deepcopy=False)
    since = 0.0 if study.running_since is None else (utc_now() - study.running_since).total_seconds()
    return reason_to_end(specification, standing(trials, optuna_study.direction, study.seconds_before + since))


__all__ = ["Claim", "fail_optuna_trial", "settle", "sweep"]
