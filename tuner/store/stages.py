"""Leases and checkpoints of shared stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CTE, Select, delete, exists, func, or_, select, union, update
from sqlalchemy.orm import Session

from tuner.store.statements import changed_rows, upsert
from tuner.store.states import OPEN_TRIAL_STATES, TrialState
from tuner.store.tables import Checkpoint, SharedStage, Slot, StageEpoch, Study, Worker, utc_now


def ensure(
    session: Session, key: str, *, model: str, stage: str, dataset: str, before: tuple[str, int] | None = None
) -> None:
    """Make sure that the stage has a row; ``before`` is the stage that it starts from, and after how many epochs."""
    values: dict[str, Any] = {"key": key, "model": model, "stage": stage, "dataset": dataset}
    if before is not None:
        values |= {"before_key": before[0], "before_epoch": before[1]}
    upsert(session, SharedStage, values, ("key",))


def acquire(session: Session, now: float, key: str, worker_id: str, seconds: float, target: int) -> bool:
    """Take the right to run the stage up to epoch ``target``; False when another worker has it."""
    free = or_(SharedStage.lease_expires.is_(None), SharedStage.lease_expires < now, SharedStage.holder == worker_id)
    statement = (
        update(SharedStage)
        .where(SharedStage.key == key, free)
        .values(holder=worker_id, lease_expires=now + seconds, target_epoch=target)
        .execution_options(synchronize_session=False)
    )
    return changed_rows(session, statement) == 1


def renew(session: Session, now: float, key: str, worker_id: str, seconds: float) -> bool:
    """Extend the lease; False when it is no longer ours."""
    statement = (
        update(SharedStage)
        .where(SharedStage.key == key, SharedStage.holder == worker_id)
        .values(lease_expires=now + seconds)
        .execution_options(synchronize_session=False)
    )
    return changed_rows(session, statement) == 1


def release(session: Session, key: str, worker_id: str) -> None:
    session.execute(
        update(SharedStage)
        .where(SharedStage.key == key, SharedStage.holder == worker_id)
        .values(holder=None, lease_expires=None, target_epoch=None)
        .execution_options(synchronize_session=False)
    )


def all_checkpoints(session: Session) -> Sequence[Checkpoint]:
    """The checkpoints of all shared stages, those of one stage in their order."""
    return session.scalars(select(Checkpoint).order_by(Checkpoint.stage_key, Checkpoint.epoch)).all()


def digests(session: Session, key: str) -> dict[int, str | None]:
    """The SHA-256 of each of the stage's checkpoints by its epoch; None where it is not known."""
    found = select(Checkpoint.epoch, Checkpoint.sha256).where(Checkpoint.stage_key == key)
    return dict(session.execute(found).all())


def add_checkpoint(session: Session, key: str, epoch: int, *, size: int, kept: bool, sha256: str) -> None:
    values = {"stage_key": key, "epoch": epoch, "size": size, "kept": kept, "sha256": sha256}
    upsert(session, Checkpoint, values | {"used_at": utc_now()}, ("stage_key", "epoch"))


def is_kept(session: Session, key: str, epoch: int) -> bool:
    """Whether the checkpoint is more than a place to resume from."""
    checkpoint = session.get(Checkpoint, (key, epoch))
    return checkpoint is not None and checkpoint.kept


def forget_checkpoint(session: Session, key: str, epoch: int) -> None:
    session.execute(delete(Checkpoint).where(Checkpoint.stage_key == key, Checkpoint.epoch == epoch))


def forget_unused(session: Session, now: float, key: str, epoch: int) -> bool:
    """Drop the row of a checkpoint; False when its stage is in use, whose holder alone may do that."""
    session.get(SharedStage, key, with_for_update=True)  # nobody begins to run it meanwhile
    if session.scalar(select(SharedStage.key).where(SharedStage.key == key, SharedStage.key.in_(used(now)))):
        return False
    forget_checkpoint(session, key, epoch)
    return True


def touch(session: Session, key: str, epoch: int) -> None:
    """Note that the checkpoint was used, so that others are evicted first."""
    now = utc_now()
    session.execute(
        update(Checkpoint).where(Checkpoint.stage_key == key, Checkpoint.epoch == epoch).values(used_at=now)
    )
    session.execute(update(SharedStage).where(SharedStage.key == key).values(used_at=now))


def add_epoch(session: Session, key: str, epoch: int, loss: float, mean_loss: float, seconds: float) -> None:
    """Record a finished epoch, counting how often it was computed."""
    row = session.get(StageEpoch, (key, epoch), with_for_update=True)
    if row is None:
        row = StageEpoch(stage_key=key, epoch=epoch, times_run=0)
        session.add(row)
    row.loss, row.mean_loss, row.seconds, row.times_run = loss, mean_loss, seconds, row.times_run + 1


def total_size(session: Session) -> int:
    """Bytes of all checkpoints of shared stages."""
    return int(session.scalar(select(func.sum(Checkpoint.size))) or 0)


def trainer(session: Session, key: str) -> str | None:
    """Who holds the right to run the stage, in words: "trial 3 of NAME (host:pid)"; None if nobody does."""
    running = (Slot.worker_id == Worker.id) & (Slot.state == TrialState.RUNNING)
    row = session.execute(
        select(Worker.host, Worker.pid, Slot.optuna_number, Study.name)
        .join(SharedStage, SharedStage.holder == Worker.id)
        .outerjoin(Slot, running)
        .outerjoin(Study, Study.id == Slot.study_id)
        .where(SharedStage.key == key)
        .limit(1)
    ).first()
    if row is None:
        return None
    worker = f"{row.host}:{row.pid}"
    return f"worker {worker}" if row.optuna_number is None else f"trial {row.optuna_number} of {row.name} ({worker})"


def furthest(session: Session, key: str) -> int:
    """How many epochs of the stage were trained."""
    return session.scalar(select(func.max(StageEpoch.epoch)).where(StageEpoch.stage_key == key)) or 0


def wanted_epochs(session: Session, key: str) -> set[int]:
    """Epochs of the stage from which trials go on, or other shared stages."""
    trials = select(Slot.stage_epochs).where(Slot.stage_key == key, Slot.stage_epochs.is_not(None))
    later = select(SharedStage.before_epoch).where(SharedStage.before_key == key)
    return {epoch for epoch in session.scalars(union(trials, later)) if epoch is not None}


def is_wanted(session: Session, key: str, epoch: int) -> bool:
    """Whether a trial that has not ended goes on from just that epoch, or another shared stage does."""
    trials = exists().where(Slot.stage_key == key, Slot.stage_epochs == epoch, Slot.state.in_(OPEN_TRIAL_STATES))
    later = exists().where(SharedStage.before_key == key, SharedStage.before_epoch == epoch)
    return bool(session.scalar(select(or_(trials, later))))


def standing(study_id: int | None = None) -> CTE:
    """(slot_id, key, epochs) of every shared stage that a trial goes through, as far as known; of one study, or all."""
    last = select(Slot.id.label("slot_id"), Slot.stage_key.label("key"), Slot.stage_epochs.label("epochs"))
    last = last.where(Slot.stage_key.is_not(None))
    if study_id is not None:
        last = last.where(Slot.study_id == study_id)
    chain = last.cte("standing", recursive=True)
    return chain.union_all(
        select(chain.c.slot_id, SharedStage.before_key, SharedStage.before_epoch).where(
            SharedStage.key == chain.c.key, SharedStage.before_key.is_not(None)
        )
    )


def blocked(now: float, worker_id: str) -> CTE:
    """Keys of the stages that another worker runs, and of those that can't begin before one of these has got on."""
    held = select(SharedStage.key).where(SharedStage.lease_expires > now, SharedStage.holder != worker_id)
    busy = held.cte("blocked", recursive=True)
    begun = exists().where(Checkpoint.stage_key == SharedStage.key)
    start = exists().where(Checkpoint.stage_key == SharedStage.before_key, Checkpoint.epoch == SharedStage.before_epoch)
    return busy.union(select(SharedStage.key).where(SharedStage.before_key == busy.c.key, ~begun, ~start))


def used(now: float) -> Select[str]:
    """Keys of the stages that are being run, of those that a running trial needs, and of what these start from."""
    needed = select(Slot.stage_key).where(Slot.state == TrialState.RUNNING, Slot.stage_key.is_not(None))
    ends = select(SharedStage.key).where(or_(SharedStage.lease_expires > now, SharedStage.key.in_(needed)))
    chain = ends.cte("used", recursive=True)
    before = select(SharedStage.before_key).where(SharedStage.key == chain.c.key, SharedStage.before_key.is_not(None))
    return select(chain.union(before).c.key)


def evictable(session: Session, now: float) -> Sequence[Checkpoint]:
    """Checkpoints that nobody uses, least recently used first."""
    return session.scalars(
        select(Checkpoint)
        .where(Checkpoint.stage_key.not_in(used(now)))
        .order_by(Checkpoint.used_at, Checkpoint.stage_key, Checkpoint.epoch)
    ).all()
