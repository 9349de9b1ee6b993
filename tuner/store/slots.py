"""Slots: how many of a study are in which state, what may still be done, and what is kept of those that ended."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, exists, func, or_, select, update
from sqlalchemy.orm import Session

from tuner.store.states import ENDED_TRIAL_STATES, Origin, StudyState, TrialState
from tuner.store.tables import Slot, Study


class Total(NamedTuple):
    """Trials in one state: epochs of shared stages that they asked for, that were run and reused; seconds of all."""

    state: TrialState
    trials: int
    asked: int
    run: int
    reused: int
    seconds: float


def find_slot(session: Session, study_id: int, number: int) -> Slot | None:
    """The slot of the study's trial ``number`` (Optuna's)."""
    return session.scalar(select(Slot).where(Slot.study_id == study_id, Slot.optuna_number == number))


def optuna_number(session: Session, slot_id: int) -> int | None:
    """The number of the slot's trial, None before it has begun."""
    return session.scalar(select(Slot.optuna_number).where(Slot.id == slot_id))


def count_slots(session: Session, study_id: int) -> dict[TrialState, int]:
    """The number of slots in each state that occurs, confirmations not included."""
    query = select(Slot.state, func.count()).where(Slot.study_id == study_id, Slot.origin != Origin.CONFIRM)
    return dict(session.execute(query.group_by(Slot.state)).all())


def count_running(session: Session, study_id: int) -> int:
    """The number of trials that run, confirmations included."""
    query = select(func.count()).where(Slot.study_id == study_id, Slot.state == TrialState.RUNNING)
    return session.scalar(query) or 0


def computing_seconds(session: Session, study_id: int) -> float:
    """Time of all epochs that were computed for the study."""
    return float(session.scalar(select(func.sum(Slot.seconds_run)).where(Slot.study_id == study_id)) or 0.0)


def totals(session: Session) -> Sequence[Total]:
    """The trials of all studies by state, with what they have cost."""
    query = select(
        Slot.state,
        func.count(),
        func.sum(Slot.epochs_asked),
        func.sum(Slot.epochs_run),
        func.sum(Slot.epochs_reused),
        func.coalesce(func.sum(Slot.seconds_run), 0.0),
    )
    found = session.execute(query.group_by(Slot.state).order_by(Slot.state))
    return [Total(state, trials, int(a), int(r), int(u), float(s)) for state, trials, a, r, u, s in found]


def has_work_begun(session: Session, study_id: int) -> bool:
    """Whether a trial of the study runs, or was begun and waits to be continued."""
    return bool(session.scalar(select(exists().where(Slot.study_id == study_id, begun()))))


def count_work(session: Session, study_id: int | None = None) -> int:
    """The number of trials that run or may be claimed, in studies that go on (or in this one).

    Those of a study that an outage paused count: a worker has to find out that it is over.
    """
    going = (StudyState.QUEUED, StudyState.RUNNING)
    waits = (Study.state == StudyState.PAUSED) & Study.outage.is_not(None)
    query = (
        select(func.count())
        .select_from(Slot)
        .join(Study, Study.id == Slot.study_id)
        .where(
            or_(
                (Study.state.in_(going) | waits) & still_open(),
                (Study.state == StudyState.STOPPING) & begun(),
            )
        )
    )
    if study_id is not None:
        query = query.where(Slot.study_id == study_id)
    return session.scalar(query) or 0


def begun() -> ColumnElement[bool]:
    """Slots whose trial runs, or was begun and waits to be continued; and confirmations, once there are any."""
    known = or_(Slot.optuna_number.is_not(None), Slot.origin == Origin.CONFIRM)
    return still_open() & or_(Slot.state == TrialState.RUNNING, known)


def still_open() -> ColumnElement[bool]:
    """Slots whose trial runs or may be claimed, which one that waits for its promotion may not."""
    return or_(Slot.state == TrialState.RUNNING, (Slot.state == TrialState.WAITING) & Slot.paused_at.is_(None))


def ended_numbers(session: Session, study_id: int, *states: TrialState, among: Collection[int]) -> Sequence[int]:
    """Those of the trials ``among`` that have ended, in one of ``states`` if any are given."""
    wanted = states or tuple(ENDED_TRIAL_STATES)
    query = select(Slot.optuna_number).where(Slot.study_id == study_id, Slot.state.in_(wanted))
    found = session.scalars(query.where(Slot.optuna_number.in_(among)))
    return [number for number in found if number is not None]


def last_ended(session: Session, study: Study, limit: int) -> Sequence[Slot]:
    """The trials that ended last since the study was last set running, newest first."""
    query = select(Slot).where(Slot.study_id == study.id, Slot.ended_at.is_not(None))
    if study.running_since is not None:
        query = query.where(Slot.ended_at >= study.running_since)
    return session.scalars(query.order_by(Slot.ended_at.desc(), Slot.id.desc()).limit(limit)).all()


def wrong_weights(session: Session, study_id: int, kept: Mapping[int, int]) -> dict[int, int | None]:
    """Slots whose record of kept weights is not what is kept, with the size in bytes that it should be."""
    recorded = or_(Slot.weights_bytes.is_not(None), Slot.optuna_number.in_(kept))
    query = select(Slot.id, Slot.optuna_number, Slot.weights_bytes).where(Slot.study_id == study_id, recorded)
    wrong: dict[int, int | None] = {}
    for slot, number, size in session.execute(query).all():
        now = None if number is None else kept.get(number)
        if now != size:
            wrong[slot] = now
    return wrong


def note_weights(session: Session, sizes: Mapping[int, int | None]) -> None:
    """Record the size of the weights that are kept, by slot."""
    for slot, size in sizes.items():
        session.execute(update(Slot).where(Slot.id == slot).values(weights_bytes=size))


def weights_kept(session: Session, study_id: int) -> tuple[int, int]:
    """(trials of which weights are kept, their size in bytes)."""
    query = select(func.count(), func.sum(Slot.weights_bytes)).where(Slot.study_id == study_id)
    trials, size = session.execute(query.where(Slot.weights_bytes.is_not(None))).one()
    return trials, int(size or 0)
