"""Who runs which trial: claims with leases, each step one statement that holds on any number of processes.

A claim is (slot, attempt). ``attempt`` grows with every claim, so a worker that lost its claim without
noticing matches no row any more: every function that changes a claimed slot says whether it still was ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from tuner.store.repository import add_event, changed_rows, delete_progress
from tuner.store.states import Origin, StudyState, TrialState, WorkerState
from tuner.store.tables import Checkpoint, SharedStage, Slot, Study, Worker, utc_now


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


def claim(
    session: Session, now: float, worker_id: str, lease_seconds: float, *, study_id: int | None = None
) -> Claim | None:
    """Claim the trial that should run next, None when there is none for this worker now.

    Trials that were begun come first; then higher priority, then the study's order. A trial whose pretraining
    somebody else is running is passed over. Studies with fewer running trials come first.
    """
    running = aliased(Slot)
    in_study = (
        select(func.count())
        .where(running.study_id == Study.id, running.state == TrialState.RUNNING)
        .correlate(Study)
        .scalar_subquery()
    )
    if session.get_bind().dialect.name != "sqlite":
        # Two claims at once would both see room for one more. And a claim that starts its study must lock
        # the study before the slot, as all others do who lock both.
        going = or_(Study.state == StudyState.QUEUED, Study.workers.is_not(None) & _GOES_ON)
        session.execute(select(Study.id).where(going).order_by(Study.id).with_for_update())
    candidate = (
        select(Slot.id)
        .join(Study, Study.id == Slot.study_id)
        .where(
            Slot.state == TrialState.WAITING,
            Slot.not_before <= now,
            _may_run(),
            or_(Study.workers.is_(None), in_study < Study.workers),
            ~_pretraining_is_busy(now, worker_id),
        )
        .order_by(in_study, Study.id, Slot.optuna_number.is_(None), Slot.priority.desc(), Slot.ordinal)
        .limit(1)
        .with_for_update(of=Slot, skip_locked=True)
    )
    if study_id is not None:
        candidate = candidate.where(Slot.study_id == study_id)
    statement = (
        update(Slot)
        .where(Slot.id == candidate.scalar_subquery(), Slot.state == TrialState.WAITING)
        .values(
            state=TrialState.RUNNING,
            attempt=Slot.attempt + 1,
            worker_id=worker_id,
            lease_expires=now + lease_seconds,
            started_at=func.coalesce(Slot.started_at, utc_now()),
        )
        .returning(
            Slot.id,
            Slot.study_id,
            Slot.attempt,
            Slot.ordinal,
            Slot.origin,
            Slot.parameters,
            Slot.optuna_number,
            Slot.group_key,
            Slot.failures,
            Slot.losses,
        )
        .execution_options(synchronize_session=False)
    )
    row = session.execute(statement).one_or_none()
    if row is None:
        return None
    _start_study(session, row.study_id)
    return Claim(*row)


def renew(session: Session, now: float, claim: Claim, lease_seconds: float) -> StudyState | None:
    """Extend the lease. The study's state, or None when the claim is no longer ours."""
    if not _update(session, claim, lease_expires=now + lease_seconds):
        return None
    return session.scalar(select(Study.state).where(Study.id == claim.study_id))


def link(session: Session, claim: Claim, optuna_number: int) -> bool:
    """Record which Optuna trial the slot's trial is."""
    return _update(session, claim, optuna_number=optuna_number)


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


def note_advance(session: Session, claim: Claim) -> None:
    """Forget earlier losses: the trial gets on, so it is not what kills its workers."""
    if claim.losses > 0:
        _update(session, claim, losses=0)


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
    if changed_rows(session, statement) == 0:
        return None
    return Claim(
        slot.id,
        slot.study_id,
        slot.attempt + 1,
        slot.ordinal,
        slot.origin,
        slot.parameters,
        slot.optuna_number,
        slot.group_key,
        slot.failures,
        slot.losses,
    )


def sweep_workers(session: Session, now: float) -> int:
    """Mark workers that were not heard of as lost, and free the stages that they held."""
    silent = (
        update(Worker)
        .where(
            Worker.state.in_((WorkerState.IDLE, WorkerState.RUNNING, WorkerState.STOPPING)),
            Worker.lease_expires < now,
        )
        .values(state=WorkerState.LOST, ended_at=utc_now())
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(SharedStage)
        .where(SharedStage.lease_expires < now)
        .values(holder=None, lease_expires=None, target_epoch=None)
        .execution_options(synchronize_session=False)
    )
    return changed_rows(session, silent)


def expire_worker(session: Session, worker_id: str) -> bool:
    """Let what a dead worker held expire at once; False when it had signed off, as it should."""
    worker = session.get(Worker, worker_id)
    if worker is not None and worker.state is WorkerState.STOPPED:
        return False
    for table, owner in ((Slot, Slot.worker_id), (SharedStage, SharedStage.holder), (Worker, Worker.id)):
        session.execute(
            update(table)
            .where(owner == worker_id, table.lease_expires.is_not(None))
            .values(lease_expires=0.0)
            .execution_options(synchronize_session=False)
        )
    return True


def note_worker(session: Session, worker_id: str, state: WorkerState) -> None:
    """Record what the worker is doing."""
    session.execute(update(Worker).where(Worker.id == worker_id).values(state=state))


def _update(session: Session, claim: Claim, **changes: Any) -> bool:
    statement = (
        update(Slot)
        .where(Slot.id == claim.slot_id, Slot.attempt == claim.attempt, Slot.state == TrialState.RUNNING)
        .values(**changes)
        .execution_options(synchronize_session=False)
    )
    return changed_rows(session, statement) == 1


_GOES_ON = Study.state.in_((StudyState.RUNNING, StudyState.STOPPING))


def _may_run() -> ColumnElement[bool]:
    """Running studies give out trials; stopping ones only those that were begun, to finish them."""
    begun = and_(Study.state == StudyState.STOPPING, Slot.optuna_number.is_not(None))
    return or_(Study.state.in_((StudyState.QUEUED, StudyState.RUNNING)), begun)


def _pretraining_is_busy(now: float, worker_id: str) -> ColumnElement[bool]:
    held = (
        select(SharedStage.key)
        .where(
            SharedStage.key == Slot.stage_key,
            SharedStage.lease_expires > now,
            SharedStage.holder != worker_id,
        )
        .correlate(Slot)
        .exists()
    )
    there = (
        select(Checkpoint.epoch)
        .where(Checkpoint.stage_key == Slot.stage_key, Checkpoint.epoch == Slot.stage_epochs)
        .correlate(Slot)
        .exists()
    )
    return and_(held, ~there)


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
