"""Events: their kinds, writing and reading them.

An event is for people: what happened, when, to which study and trial. Nothing that the program does depends on one.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from tuner.store.states import StudyState
from tuner.store.tables import Event, Study

# What each kind means; docs/engine.md has the same table.
KINDS: dict[str, str] = {
    "created": "The study was created.",
    "warm_start": "What it took over from another study.",
    **{str(state): f"The study became {state}, and why." for state in StudyState},
    "deleted": "A study was deleted.",
    "budget": "Its number of trials was changed.",
    "confirm": "Confirmations were added, or left out.",
    "baseline": "The baseline could not be computed.",
    "advice": "How its validation could be made cheaper.",
    "outage": "A trial met storage that is full or away and will be continued, or a worker that starts waits for it.",
    "damaged": "A checkpoint was not as it was written; it was set aside, and its epochs are run again.",
    "retry": "A trial failed in a way that may pass, and will be tried again.",
    "trial_failed": "A trial failed.",
    "trial_cancelled": "A trial was abandoned because its study was cancelled.",
    "lost": "A trial's worker is gone; the trial will be continued.",
    "reused": "A trial got the result of an earlier one with the same parameters.",
    "data": "Data, or a pretrained model, changed during the study.",
    "given_up": "A trial lost its worker too often and is not tried again.",
    "weights": "Weights were deleted because those of better trials fill the bound.",
    "worker_died": "A worker process ended that nobody had stopped.",
    "worker_lost": "A worker was not heard of for longer than its lease.",
}


# The largest id that PostgreSQL has; it can't compare one with more.
_LARGEST = 2**31 - 1


def add_event(session: Session, study_id: int | None, kind: str, message: str, *, trial: int | None = None) -> None:
    """Record that something happened."""
    session.add(Event(study_id=study_id, kind=kind, message=message, trial=trial))


def those(*, study_id: int | None, kind: str | None, trial: int | None, after: int | None) -> list[ColumnElement[bool]]:
    """Conditions on events: of that study, of that kind, about that trial, after the event of that id; None: any."""
    conditions: list[ColumnElement[bool]] = []
    if study_id is not None:
        conditions.append(Event.study_id == study_id)
    if kind is not None:
        conditions.append(Event.kind == kind)
    if trial is not None:
        conditions.append(Event.trial == min(trial, _LARGEST))
    if after is not None:
        conditions.append(Event.id > min(after, _LARGEST))
    return conditions


def count(session: Session, *conditions: ColumnElement[bool]) -> int:
    """The number of events that meet the conditions."""
    return session.scalar(select(func.count()).select_from(Event).where(*conditions)) or 0


def newest_id(session: Session) -> int:
    """The id of the newest event, 0 when there is none."""
    return session.scalar(select(func.max(Event.id))) or 0


def ids_after(session: Session, event_id: int, limit: int) -> Sequence[int]:
    """Ids of the events after that one, in their order."""
    return session.scalars(select(Event.id).where(Event.id > event_id).order_by(Event.id).limit(limit)).all()


def read(
    session: Session, *conditions: ColumnElement[bool], newest_first: bool, limit: int, offset: int
) -> Sequence[tuple[Event, str | None]]:
    """Events that meet the conditions, in the order in which they happened or backwards, each with its study's name."""
    query = select(Event, Study.name).outerjoin(Study, Study.id == Event.study_id).where(*conditions)
    order = Event.id.desc() if newest_first else Event.id.asc()
    return [(event, name) for event, name in session.execute(query.order_by(order).limit(limit).offset(offset))]
