"""What happened: to one study, or to the whole installation."""

from __future__ import annotations

from tuner.insight.summaries import EventSummary, Page
from tuner.store import Database
from tuner.store import events as event_rows
from tuner.store import studies as study_rows

KINDS = event_rows.KINDS


def list_events(
    database: Database,
    name: str | int | None = None,
    *,
    kind: str | None = None,
    trial: int | None = None,
    after: int | None = None,
    limit: int = 50,
    offset: int = 0,
) -> Page[EventSummary]:
    """Events, the newest first; with ``after`` those that came after the event of that id, the oldest first.

    Args:
        name: those of this study, None for those of all studies and of none.
        kind, trial: keep those of that kind, or about that trial.
        after: an event's id; 0: from the beginning.

    Raises:
        StudyNotFound: there is no such study.
        ValueError: there is no such kind.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"There is no kind of event {kind!r}. Kinds: {', '.join(KINDS)}.")
    with database.session() as session:
        study_id = None if name is None else study_rows.find_study(session, name).id
        conditions = event_rows.those(study_id=study_id, kind=kind, trial=trial, after=after)
        total = event_rows.count(session, *conditions)
        found = event_rows.read(session, *conditions, newest_first=after is None, limit=limit, offset=offset)
    items = (EventSummary(event.id, event.at, event.kind, event.message, of, event.trial) for event, of in found)
    return Page(tuple(items), total, limit, offset)
