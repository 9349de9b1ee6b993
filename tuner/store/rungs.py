"""Rungs that trials have reached, and trials that wait there."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from tuner.store.claims import PRIORITY_BEGUN, Claim, claim_paused
from tuner.store.statements import upsert
from tuner.store.states import OPEN_TRIAL_STATES, TrialState
from tuner.store.tables import Rung, Slot


def reach(session: Session, slot_id: int, rung: int, epoch: int, score: float) -> None:
    """Record that the slot's trial has reached the rung; a repeated record changes nothing."""
    if session.get(Rung, (slot_id, rung)) is None:
        upsert(session, Rung, _row(slot_id, rung, epoch, score), ("slot_id", "rung"))


def on_rung(session: Session, study_id: int, rung: int) -> Sequence[Rung]:
    """The study's trials that have reached the rung, in the study's order."""
    query = select(Rung).join(Slot, Slot.id == Rung.slot_id).where(Slot.study_id == study_id, Rung.rung == rung)
    return session.scalars(query.order_by(Slot.ordinal)).all()


def promote(session: Session, rung: int, slot_ids: Collection[int]) -> None:
    """Let these trials go beyond the rung; those that wait there go before all others, higher rungs first."""
    session.execute(update(Rung).where(Rung.rung == rung, Rung.slot_id.in_(slot_ids)).values(promoted=True))
    session.execute(
        update(Slot)
        .where(Slot.id.in_(slot_ids), paused())
        .values(paused_at=None, priority=PRIORITY_BEGUN - rung - 1)
        .execution_options(synchronize_session=False)
    )


def is_promoted(session: Session, slot_id: int, rung: int) -> bool:
    """Whether the slot's trial may go beyond a rung that it has reached, read again: :func:`promote` may just have."""
    session.expire_all()
    return session.get_one(Rung, (slot_id, rung)).promoted


def may_be_promoted(session: Session, slot_ids: Collection[int]) -> set[int]:
    """Those of the slots whose trial runs or waits; ended ones go nowhere."""
    query = select(Slot.id).where(Slot.id.in_(slot_ids), Slot.state.in_(OPEN_TRIAL_STATES))
    return set(session.scalars(query))


def reached(session: Session, study_id: int) -> dict[int, int]:
    """Trial number -> epoch of the highest rung, of the study's unfinished trials that have reached one."""
    query = (
        select(Slot.optuna_number, func.max(Rung.epoch))
        .join(Rung, Rung.slot_id == Slot.id)
        .where(Slot.study_id == study_id, Slot.state.in_(OPEN_TRIAL_STATES), Slot.optuna_number.is_not(None))
        .group_by(Slot.optuna_number)
    )
    return {int(number or 0): int(epoch) for number, epoch in session.execute(query)}


def claim_one(session: Session, now: float, study_id: int, lease_seconds: float) -> Claim | None:
    """Claim a paused trial of the study in order to end it."""
    query = select(Slot).where(Slot.study_id == study_id, paused()).order_by(Slot.ordinal).limit(1)
    slot = session.scalar(query.with_for_update())
    return None if slot is None else claim_paused(session, now, slot, lease_seconds)


def any_paused(session: Session, study_id: int) -> bool:
    """Whether a trial of the study waits for its promotion."""
    return session.scalar(select(Slot.id).where(Slot.study_id == study_id, paused()).limit(1)) is not None


def paused() -> ColumnElement[bool]:
    """Slots whose trial waits for its promotion."""
    return (Slot.state == TrialState.WAITING) & Slot.paused_at.is_not(None)


def _row(slot_id: int, rung: int, epoch: int, score: float) -> dict[str, object]:
    return {"slot_id": slot_id, "rung": rung, "epoch": epoch, "score": score, "promoted": False}
