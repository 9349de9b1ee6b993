"""Studies: found by name, moved from state to state, their clock and their baseline."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from tuner.errors import StudyNotFound
from tuner.store.events import add_event
from tuner.store.slots import add_slots
from tuner.store.statements import changed_rows
from tuner.store.states import GOING_STUDY_STATES, StudyState
from tuner.store.tables import Study, utc_now


def find_study(session: Session, name_or_id: str | int, *, lock: bool = False) -> Study:
    """The study of that name, else of that id.

    New studies have no names of digits alone; one from before that did is found by its name, and shadows the id.

    Args:
        lock: keep other transactions from changing the row until this one ends.

    Raises:
        StudyNotFound: there is none.
    """
    if "\0" in str(name_or_id):  # which PostgreSQL does not even look for
        raise StudyNotFound(f"There is no study {name_or_id!r}.")
    query = select(Study).with_for_update() if lock else select(Study)
    study = session.scalar(query.where(Study.name == str(name_or_id)))
    if study is None and str(name_or_id).isdecimal() and int(name_or_id) < 2**31:
        study = session.scalar(query.where(Study.id == int(name_or_id)))
    if study is None:
        raise StudyNotFound(f"There is no study {name_or_id!r}.")
    return study


def is_taken(session: Session, name: str) -> bool:
    """Whether there is a study of that name."""
    return session.scalar(select(Study.id).where(Study.name == name)) is not None


def add_study(session: Session, study: Study, slots: Iterable[Mapping[str, Any]]) -> None:
    """Add a study with its slots, and give it its id.

    Raises:
        IntegrityError: there is one of that name.
    """
    session.add(study)
    session.flush()
    add_slots(session, study.id, slots)


def remove(session: Session, study: Study) -> None:
    """Delete the study, and all that is kept of its trials, after what the session has added so far."""
    session.flush()
    session.delete(study)


def get(session: Session, study_id: int, *, lock: bool = False) -> Study | None:
    """The study of that id, None when it was deleted."""
    return session.get(Study, study_id, with_for_update=lock or None)


def get_one(session: Session, study_id: int, *, lock: bool = False) -> Study:
    """The study of that id, which is known to be there.

    Raises:
        NoResultFound: it was deleted.
    """
    return session.get_one(Study, study_id, with_for_update=lock or None)


def all_studies(session: Session) -> Sequence[Study]:
    """Every study that was not deleted."""
    return session.scalars(select(Study)).all()


def not_ended(session: Session) -> Sequence[int]:
    """Ids of the studies in which something may still happen."""
    return session.scalars(select(Study.id).where(Study.state.in_(GOING_STUDY_STATES))).all()


def cancelled(session: Session, study_ids: Collection[int]) -> set[int]:
    """Those of the studies that were cancelled."""
    if not study_ids:
        return set()
    return set(session.scalars(select(Study.id).where(Study.id.in_(study_ids), Study.state == StudyState.CANCELLED)))


def set_state(
    session: Session, study: Study, state: StudyState, reason: str | None, *, outage: str | None = None
) -> None:
    """Move a study to ``state``, keep its clock, and record the event.

    Args:
        outage: what is away or full, when that is why it pauses: it goes on by itself then.
    """
    now = utc_now()
    was_counting = study.running_since is not None
    counts = state in (StudyState.RUNNING, StudyState.STOPPING)
    if study.running_since is not None and not counts:
        study.seconds_before += (now - study.running_since).total_seconds()
        study.running_since = None
    elif counts and not was_counting:
        study.running_since = now
    if state is StudyState.RUNNING and study.started_at is None:
        study.started_at = now
    study.ended_at = now if state.ended else None
    if state is not StudyState.STOPPING:
        study.ends_as = None
    study.state, study.reason, study.outage, study.changed_at = state, reason, outage, now
    add_event(session, study.id, str(state), reason or f"The study is {state}.")


def going(study: Study) -> StudyState:
    """The state of a study that goes on."""
    return StudyState.QUEUED if study.started_at is None else StudyState.RUNNING


def paused_by_outage(session: Session) -> Sequence[Study]:
    """Studies that go on when what they need is there again."""
    return session.scalars(select(Study).where(Study.state == StudyState.PAUSED, Study.outage.is_not(None))).all()


def lease_baseline(session: Session, study_id: int, now: float, seconds: float) -> bool:
    """Take the right to compute the study's baseline, if nobody has it or did it."""
    free = or_(Study.baseline_lease.is_(None), Study.baseline_lease < now)
    statement = (
        update(Study).where(Study.id == study_id, Study.baseline.is_(None), free).values(baseline_lease=now + seconds)
    )
    return changed_rows(session, statement) == 1


def count_by_state(session: Session) -> dict[StudyState, int]:
    """The number of studies in each state that occurs."""
    return dict(session.execute(select(Study.state, func.count()).group_by(Study.state).order_by(Study.state)).all())


def give_back_baseline(session: Session, study_id: int) -> None:
    """Leave the study's baseline to whoever comes next."""
    session.execute(update(Study).where(Study.id == study_id).values(baseline_lease=None))


def write_baseline(session: Session, study_id: int, result: dict[str, Any]) -> None:
    """Record the study's baseline."""
    session.execute(update(Study).where(Study.id == study_id).values(baseline=result))
