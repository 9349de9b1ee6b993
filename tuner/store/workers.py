"""Workers: what they are doing, and what becomes of what they held when they are gone."""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tuner.store.events import add_event
from tuner.store.states import TrialState, WorkerState
from tuner.store.tables import SharedStage, Slot, Study, Worker, utc_now


def register(session: Session, worker_id: str, host: str, pid: int, expires: float) -> None:
    """Make the process known as a worker, which may then hold trials and shared stages."""
    session.merge(Worker(id=worker_id, host=host, pid=pid, state=WorkerState.IDLE, lease_expires=expires))


def renew(session: Session, worker_id: str, state: WorkerState, expires: float) -> None:
    """Say that the worker lives, and what it is doing, also after it was taken for lost; not after it signed off."""
    session.execute(
        update(Worker)
        .where(Worker.id == worker_id, Worker.state != WorkerState.STOPPED)
        .values(heartbeat_at=utc_now(), lease_expires=expires, state=state, ended_at=None)
    )


def sign_off(session: Session, worker_id: str) -> None:
    """Record that the worker has ended in order."""
    stopped = {"state": WorkerState.STOPPED, "ended_at": utc_now()}
    session.execute(update(Worker).where(Worker.id == worker_id).values(**stopped))


def note_worker(session: Session, worker_id: str, state: WorkerState) -> None:
    """Record what the worker is doing."""
    session.execute(update(Worker).where(Worker.id == worker_id).values(state=state))


def get(session: Session, worker_id: str) -> Worker | None:
    """The worker, None when it never began."""
    return session.get(Worker, worker_id)


def running_trial(session: Session, worker_id: str) -> tuple[str, int | None] | None:
    """The trial that the worker runs, as (study's name, number, None before it has one); None when it runs none."""
    running = select(Study.name, Slot.optuna_number).join(Study, Study.id == Slot.study_id)
    found = session.execute(running.where(Slot.worker_id == worker_id, Slot.state == TrialState.RUNNING)).first()
    return None if found is None else (found[0], found[1])


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
