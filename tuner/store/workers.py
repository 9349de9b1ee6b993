"""Workers: what they are doing, and what becomes of what they held when they are gone."""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tuner.store.events import add_event
from tuner.store.states import WorkerState
from tuner.store.tables import SharedStage, Slot, Worker, utc_now


def note_worker(session: Session, worker_id: str, state: WorkerState) -> None:
    """Record what the worker is doing."""
    session.execute(update(Worker).where(Worker.id == worker_id).values(state=state))


def worker_name(session: Session, worker_id: str | None) -> str:
    """The worker as a person finds it, at the beginning of a sentence."""
    worker = None if worker_id is None else session.get(Worker, worker_id)
    if worker is None:
        return "A worker that is not known any more"
    return f"Worker {worker.id[:8]} (process {worker.pid} on {worker.host})"


def sweep_workers(session: Session, now: float) -> int:
    """Mark workers that were not heard of as lost, say so, and free the stages that they held."""
    states = (WorkerState.IDLE, WorkerState.RUNNING, WorkerState.STOPPING)
    silent = (
        update(Worker)
        .where(Worker.state.in_(states), Worker.lease_expires < now)
        .values(state=WorkerState.LOST, ended_at=utc_now())
        .returning(Worker.id)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(SharedStage)
        .where(SharedStage.lease_expires < now)
        .values(holder=None, lease_expires=None, target_epoch=None)
        .execution_options(synchronize_session=False)
    )
    lost = session.scalars(silent).all()
    for worker_id in lost:
        who = worker_name(session, worker_id)
        add_event(session, None, "worker_lost", f"{who} was not heard of for longer than its lease.")
    return len(lost)


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


def count_alive(session: Session, now: float) -> dict[WorkerState, int]:
    """The number of workers in each state, of those that were heard of within their lease."""
    alive = (Worker.lease_expires > now) & Worker.ended_at.is_(None)
    query = select(Worker.state, func.count()).where(alive).group_by(Worker.state).order_by(Worker.state)
    return dict(session.execute(query).all())
