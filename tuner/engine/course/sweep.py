"""Noticing what died, and ending studies that are over; all workers and supervisors do it now and then.

All of it may be done by several processes at once: each step either finds its condition still true or does
nothing.
"""

from __future__ import annotations

from optuna.trial import TrialState as OptunaState

from tuner.engine.course.ending import settle
from tuner.engine.course.trial_ending import end_trial
from tuner.store import Database, TrialState
from tuner.store import claims as claim_rows
from tuner.store import events as event_rows
from tuner.store import studies as study_rows
from tuner.store import workers as worker_rows
from tuner.store.tables import Slot
from tuner.store.trial_outcome import TrialOutcome

# How often a trial may lose its worker before it is given up: it may well be what kills them.
MAX_LOSSES = 5


def sweep(database: Database, lease_seconds: float) -> None:
    """Give back or end trials whose worker died, free what it held, and end studies that are over."""
    with database.session() as session:
        now = database.now(session)
        silent = claim_rows.expired(session, now)
        going = study_rows.not_ended(session)
        cancelled = study_rows.cancelled(session, {slot.study_id for slot in silent})
    for slot in silent:
        if slot.study_id in cancelled:
            _end(database, slot, lease_seconds, TrialState.CANCELLED)
        elif slot.losses + 1 > MAX_LOSSES:
            _end(database, slot, lease_seconds, TrialState.LOST)
        else:
            _give_back(database, slot)
    with database.transaction() as session:
        worker_rows.sweep_workers(session, database.now(session))
    for study_id in going:
        settle(database, study_id)


def _give_back(database: Database, slot: Slot) -> None:
    with database.transaction() as session:
        now = database.now(session)
        claim = claim_rows.take_over(session, now, slot, 0.0)
        if claim is not None and claim_rows.release(session, claim, losses=slot.losses + 1):
            who = worker_rows.worker_name(session, slot.worker_id)
            message = f"{who} is gone, which ran {_called(slot)}; it will be continued (loss {slot.losses + 1})."
            event_rows.add_event(session, slot.study_id, "lost", message, trial=slot.optuna_number)


def _end(database: Database, slot: Slot, lease_seconds: float, state: TrialState) -> None:
    """Claim the slot, end its Optuna trial, then the slot; a crash on the way is found by the next sweep."""
    with database.transaction() as session:
        claim = claim_rows.take_over(session, database.now(session), slot, lease_seconds)
        study = study_rows.get(session, slot.study_id)
        why = _reason(state, slot, worker_rows.worker_name(session, slot.worker_id))
    if claim is None or study is None:
        return
    if claim.optuna_number is not None:
        outcome = TrialOutcome(error=why)
        end_trial(database, study.optuna_name, claim.optuna_number, OptunaState.FAIL, outcome)
    with database.transaction() as session:
        error = None if state is TrialState.CANCELLED else _loss(why)
        if claim_rows.finish(session, claim, state, error):
            kind = "trial_cancelled" if state is TrialState.CANCELLED else "given_up"
            event_rows.add_event(session, slot.study_id, kind, why, trial=slot.optuna_number)
    settle(database, slot.study_id)


def _reason(state: TrialState, slot: Slot, last_worker: str) -> str:
    called = _called(slot)
    if state is TrialState.CANCELLED:
        return f"{called[0].upper()}{called[1:]} was cancelled with its study."
    lost = f"{called[0].upper()}{called[1:]} lost its worker {slot.losses + 1} times"
    return f"{lost}, the last time {last_worker[0].lower()}{last_worker[1:]}, and is given up."


def _loss(why: str) -> dict[str, str]:
    return {"kind": "lost", "type": "WorkerLost", "message": why, "traceback": ""}


def _called(slot: Slot) -> str:
    return f"a trial (slot {slot.ordinal})" if slot.optuna_number is None else f"trial {slot.optuna_number}"
