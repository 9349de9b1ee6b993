"""Studies: found by name, moved from state to state, their clock and their baseline."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from tuner.errors import StudyNotFound
from tuner.store.events import add_event
from tuner.store.statements import changed_rows
from tuner.store.states import StudyState
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
