"""What a trial records while it runs: where it is, and its epochs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from tuner.store.points import CurvePoint
from tuner.store.statements import upsert
from tuner.store.tables import Epoch, Progress, SharedStage, Slot, StageEpoch, utc_now


def write_progress(session: Session, slot_id: int, values: Mapping[str, Any]) -> None:
    """Overwrite where the slot's trial is."""
    upsert(session, Progress, {"slot_id": slot_id, "updated_at": utc_now(), **values}, ("slot_id",))


def delete_progress(session: Session, slot_id: int) -> None:
    session.execute(delete(Progress).where(Progress.slot_id == slot_id))


def write_epoch(session: Session, values: Mapping[str, Any]) -> None:
    """Record a finished epoch of a trial's own stage; a repeated one overwrites its equal."""
    upsert(session, Epoch, values, ("slot_id", "stage", "epoch"))


def own_seconds(session: Session, slot_id: int) -> float:
    """Computing time of the trial's own stage."""
    return seconds_by_slot(session, [slot_id]).get(slot_id, 0.0)


def seconds_by_slot(session: Session, slot_ids: Collection[int]) -> dict[int, float]:
    """Computing time of the trials' own stages, of those that have begun them."""
    query = select(Epoch.slot_id, func.sum(Epoch.seconds)).where(Epoch.slot_id.in_(slot_ids)).group_by(Epoch.slot_id)
    return {slot_id: float(seconds) for slot_id, seconds in session.execute(query)}


def best_epoch(session: Session, slot_id: int, direction: str) -> Epoch | None:
    """The trial's validated epoch with the best score; of equal ones the last, as early stopping has it."""
    score = Epoch.valid_score.desc() if direction == "maximize" else Epoch.valid_score.asc()
    query = select(Epoch).where(Epoch.slot_id == slot_id, Epoch.valid_score.is_not(None))
    return session.scalar(query.order_by(score, Epoch.epoch.desc()).limit(1))


def curves(session: Session, slot: Slot) -> list[CurvePoint]:
    """Every finished epoch that led to the slot's trial, of the shared stages first."""
    points: list[CurvePoint] = []
    key, epochs = slot.stage_key, slot.stage_epochs or 0
    while key is not None and (stage := session.get(SharedStage, key)) is not None:
        query = select(StageEpoch).where(StageEpoch.stage_key == key, StageEpoch.epoch <= epochs)
        found = session.scalars(query.order_by(StageEpoch.epoch))
        points[:0] = [_point(stage.stage, row, None, None) for row in found]
        key, epochs = stage.before_key, stage.before_epoch or 0
    own = select(Epoch).where(Epoch.slot_id == slot.id).order_by(Epoch.stage, Epoch.epoch)
    for row in session.scalars(own):
        points.append(_point(row.stage, row, row.valid_score, row.valid_result))
    return points


def _point(
    stage: str, row: Epoch | StageEpoch, valid_score: float | None, valid_result: dict[str, Any] | None
) -> CurvePoint:
    return CurvePoint(stage, row.epoch, row.loss, row.mean_loss, valid_score, valid_result, row.seconds)
