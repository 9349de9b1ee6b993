"""Who runs which trial: claims with leases, each step one statement that holds on any number of processes.

A claim is (slot, attempt). ``attempt`` grows with every claim, so a worker that lost its claim without
noticing matches no row any more: every function that changes a claimed slot says whether it still was ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.orm import Session

from tuner.store.events import add_event
from tuner.store.slots import begun
from tuner.store.stages import blocked
from tuner.store.statements import changed_rows
from tuner.store.states import Origin, StudyState, TrialState
from tuner.store.tables import Checkpoint, Slot, Study, utc_now
from tuner.store.trial_record import delete_progress

# Lower goes first; trials that nobody asked for specially have 0.
PRIORITY_BEGUN = -2
PRIORITY_ENQUEUED = -1
# Trials that wait for their promotion stand behind all others, so that a claim does not have to pass over them.
PRIORITY_PAUSED = 1


@dataclass(frozen=True)
class Claim:
    """The right to run one trial until the lease expires."""

    slot_id: int
    study_id: int
    attempt: int
    ordinal: int
    origin: Origin
    parameters: dict[str, Any] | None
    optuna_number: int | None
    group_key: str | None
    failures: int
    losses: int
    confirms: int | None
    seed: int | None


# What a claim says, and the column of its slot that says it.
_CLAIMED = {field.name: field.name for field in fields(Claim)} | {"slot_id": "id"}


def claim(
    session: Session, now: float, worker_id: str, lease_seconds: float, *, study_id: int | None = None
) -> Claim | None:
    """Claim the trial that should run next, None when there is none for this worker now.

    Studies with fewer running trials come first. Within a study, trials that were begun come first, then
    enqueued ones, then the study's order; those whose pretraining somebody else is running are passed over.
    """
    for study in _with_room(session, study_id):
        statement = (
            update(Slot)
            .where(
                Slot.id == _next_slot(study, now, worker_id).scalar_subquery(),
                Slot.state == TrialState.WAITING,
            )
            .values(
                state=TrialState.RUNNING,
                attempt=Slot.attempt + 1,
                worker_id=worker_id,
                lease_expires=now + lease_seconds,
                started_at=func.coalesce(Slot.started_at, utc_now()),
            )
            .returning(*(getattr(Slot, column).label(name) for name, column in _CLAIMED.items()))
            .execution_options(synchronize_session=False)
        )
        row = session.execute(statement).one_or_none()
        if row is not None:
            _start_study(session, study.id)
            return Claim(**row._mapping)
    return None


def renew(session: Session, now: float, claim: Claim, lease_seconds: float) -> StudyState | None:
    """Extend the lease. The study's state, or None when the claim is no longer ours."""
    if not _update(session, claim, lease_expires=now + lease_seconds):
        return None
    return session.scalar(select(Study.state).where(Study.id == claim.study_id))


def state_of_study(session: Session, claim: Claim) -> StudyState | None:
    """The state of the claimed trial's study, or None when the claim is no longer ours."""
    ours = and_(Slot.id == claim.slot_id, Slot.state == TrialState.RUNNING, Slot.attempt == claim.attempt)
    return session.scalar(select(Study.state).join(Slot, Slot.study_id == Study.id).where(ours))


def link(session: Session, claim: Claim, optuna_number: int) -> bool:
    """Record which Optuna trial the slot's trial is; if it is given back, it is the next to be claimed."""
    return _update(session, claim, optuna_number=optuna_number, priority=PRIORITY_BEGUN)


def release(session: Session, claim: Claim, *, not_before: float = 0.0, **changes: Any) -> bool:
    """Give the trial back to whoever claims next, unfinished; the sweep ends it if its study was cancelled."""
    state = session.scalar(select(Study.state).where(Study.id == claim.study_id).with_for_update())
    if state is StudyState.CANCELLED:
        return _update(session, claim, lease_expires=0.0, **changes)
    delete_progress(session, claim.slot_id)
    return _update(
        session,
        claim,
        state=TrialState.WAITING,
        worker_id=None,
        lease_expires=None,
        not_before=not_before,
        **changes,
    )


def note_advance(session: Session, claim: Claim, reached: int | ColumnElement[int]) -> None:
    """Forget earlier losses if the trial has got further than ever: then it is not what kills its workers.

    An epoch that an earlier attempt had finished, too, says nothing of the one that no attempt has finished.

    Args:
        reached: epochs of the trial's shared stages and of its own up to here.
    """
    _update(session, claim, Slot.furthest < reached, losses=0, furthest=reached)


def note_own_advance(session: Session, claim: Claim, epoch: int) -> None:
    """:func:`note_advance` to that epoch of the trial's own stage, with all shared stages before it."""
    note_advance(session, claim, Slot.epochs_asked + epoch)


def note_error(session: Session, claim: Claim, error: dict[str, Any]) -> bool:
    """Record why the trial is about to end."""
    return _update(session, claim, error=error)


def finish(session: Session, claim: Claim, state: TrialState, error: dict[str, Any] | None = None) -> bool:
    """End the trial; ``worker_id`` stays, to say who ran it."""
    changes: dict[str, Any] = {"state": state, "lease_expires": None, "ended_at": utc_now()}
    if error is not None:
        changes["error"] = error
    if not _update(session, claim, **changes):
        return False
    delete_progress(session, claim.slot_id)
    return True


def expired(session: Session, now: float) -> Sequence[Slot]:
    """Slots whose worker was not heard of for a lease."""
    return session.scalars(
        select(Slot).where(Slot.state == TrialState.RUNNING, Slot.lease_expires < now).order_by(Slot.id)
    ).all()


def take_over(session: Session, now: float, slot: Slot, lease_seconds: float) -> Claim | None:
    """Claim an expired slot in order to end it; None when its worker, or somebody else, was faster."""
    statement = (
        update(Slot)
        .where(
            Slot.id == slot.id,
            Slot.attempt == slot.attempt,
            Slot.state == TrialState.RUNNING,
            Slot.lease_expires < now,
        )
        .values(attempt=Slot.attempt + 1, lease_expires=now + lease_seconds)
        .execution_options(synchronize_session=False)
    )
    return _taken(slot) if changed_rows(session, statement) == 1 else None


def claim_paused(session: Session, now: float, slot: Slot, lease_seconds: float) -> Claim | None:
    """Claim a trial that waits for its promotion in order to end it; None when somebody else was faster."""
    statement = (
        update(Slot)
        .where(
            Slot.id == slot.id,
            Slot.attempt == slot.attempt,
            Slot.state == TrialState.WAITING,
            Slot.paused_at.is_not(None),
        )
        .values(state=TrialState.RUNNING, attempt=Slot.attempt + 1, lease_expires=now + lease_seconds)
        .execution_options(synchronize_session=False)
    )
    return _taken(slot) if changed_rows(session, statement) == 1 else None


def _taken(slot: Slot) -> Claim:
    """The claim on a slot whose attempt was just counted up."""
    said = {name: getattr(slot, column) for name, column in _CLAIMED.items()}
    return Claim(**said | {"attempt": slot.attempt + 1})


def _update(session: Session, claim: Claim, *conditions: ColumnElement[bool], **changes: Any) -> bool:
    statement = (
        update(Slot)
        .where(Slot.id == claim.slot_id, Slot.attempt == claim.attempt, Slot.state == TrialState.RUNNING)
        .where(*conditions)
        .values(**changes)
        .execution_options(synchronize_session=False)
    )
    return changed_rows(session, statement) == 1


def _with_room(session: Session, study_id: int | None) -> Sequence[Study]:
    """Studies that may run one more trial, those with the fewest running first."""
    going = (StudyState.QUEUED, StudyState.RUNNING, StudyState.STOPPING)
    query = select(Study).where(Study.state.in_(going)).order_by(Study.id)
    if study_id is not None:
        query = query.where(Study.id == study_id)
    # Two claims at once would both see room for one more. And a claim that starts its study must lock the
    # study before the slot, as all others do who lock both.
    must_lock = or_(Study.state == StudyState.QUEUED, Study.workers.is_not(None))
    session.execute(query.where(must_lock).with_only_columns(Study.id).with_for_update())
    studies = session.scalars(query.execution_options(populate_existing=True)).all()
    counts = (
        select(Slot.study_id, func.count())
        .where(Slot.study_id.in_([study.id for study in studies]), Slot.state == TrialState.RUNNING)
        .group_by(Slot.study_id)
    )
    running: dict[int, int] = dict(session.execute(counts).all()) if studies else {}
    room = [study for study in studies if study.workers is None or running.get(study.id, 0) < study.workers]
    return sorted(room, key=lambda study: running.get(study.id, 0))


def _next_slot(study: Study, now: float, worker_id: str) -> Select[int]:
    query = (
        select(Slot.id)
        .where(
            Slot.study_id == study.id,
            Slot.state == TrialState.WAITING,
            Slot.paused_at.is_(None),
            Slot.not_before <= now,
            ~_pretraining_is_busy(now, worker_id),
        )
        .order_by(Slot.priority, Slot.ordinal)
        .limit(1)
        .with_for_update(of=Slot, skip_locked=True)
    )
    # A stopping study gives out only what was begun, to finish it, and what confirms its results.
    return query.where(begun()) if study.state is StudyState.STOPPING else query


def _pretraining_is_busy(now: float, worker_id: str) -> ColumnElement[bool]:
    busy = Slot.stage_key.in_(select(blocked(now, worker_id).c.key))
    there = (
        select(Checkpoint.epoch)
        .where(Checkpoint.stage_key == Slot.stage_key, Checkpoint.epoch == Slot.stage_epochs)
        .correlate(Slot)
        .exists()
    )
    # Nothing is in NULL, not even "not": a slot whose stage is not known yet is not passed over.
    return and_(Slot.stage_key.is_not(None), busy, ~there)


def _start_study(session: Session, study_id: int) -> None:
    now = utc_now()
    statement = (
        update(Study)
        .where(Study.id == study_id, Study.state == StudyState.QUEUED)
        .values(state=StudyState.RUNNING, reason=None, started_at=now, running_since=now, changed_at=now)
        .execution_options(synchronize_session=False)
    )
    if changed_rows(session, statement) == 1:
        add_event(session, study_id, "running", "The first trial has started.")
