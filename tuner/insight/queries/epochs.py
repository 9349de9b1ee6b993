"""Epochs: of trials' own stages, and of those that trials share."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tuner.insight.queries.stages import keys_of
from tuner.store.tables import Epoch, Slot, StageEpoch, Study

Points = list[tuple[int, float]]


def count_own(session: Session, study: Study) -> int:
    """The number of finished epochs of the study's trials, in their own stages."""
    slots = select(Slot.id).where(Slot.study_id == study.id)
    return session.scalar(select(func.count()).select_from(Epoch).where(Epoch.slot_id.in_(slots))) or 0


def count_shared(session: Session, study: Study) -> int:
    """The number of finished epochs of the stages that trials of the study share."""
    used = StageEpoch.stage_key.in_(keys_of(study))
    return session.scalar(select(func.count()).select_from(StageEpoch).where(used)) or 0


def mean_shared_seconds(session: Session, study: Study) -> float:
    """Mean time of an epoch of the stages that trials of the study share, 0.0 while there is none."""
    used = StageEpoch.stage_key.in_(keys_of(study))
    return float(session.scalar(select(func.avg(StageEpoch.seconds)).where(used)) or 0.0)


def valid_scores(session: Session, slot_ids: Collection[int]) -> dict[int, Points]:
    """(epoch, valid score) of every validated epoch in its order, by slot."""
    query = select(Epoch.slot_id, Epoch.epoch, Epoch.valid_score)
    query = query.where(Epoch.slot_id.in_(slot_ids), Epoch.valid_score.is_not(None))
    return _by_owner(session.execute(query.order_by(Epoch.slot_id, Epoch.epoch)))


def mean_losses(session: Session, keys: Collection[str]) -> dict[str, Points]:
    """(epoch, mean loss per sample) of every epoch of shared stages for which it is kept, by stage."""
    query = select(StageEpoch.stage_key, StageEpoch.epoch, StageEpoch.mean_loss)
    query = query.where(StageEpoch.stage_key.in_(keys), StageEpoch.mean_loss.is_not(None))
    return _by_owner(session.execute(query.order_by(StageEpoch.stage_key, StageEpoch.epoch)))


def _by_owner(rows: Iterable[Any]) -> dict[Any, Points]:
    points: dict[Any, Points] = {}
    for owner, epoch, value in rows:
        points.setdefault(owner, []).append((epoch, float(value or 0.0)))
    return points
