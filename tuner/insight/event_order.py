"""In which order events can be followed, so that none is missed."""

from __future__ import annotations

import time
from collections.abc import Callable

from tuner.store import Database
from tuner.store import events as event_rows

# Longer than any transaction takes from its event to its end.
LONGEST_TRANSACTION_SECONDS = 5.0
_AT_A_TIME = 1000


class EventOrder:
    """Up to which id all events are known.

    PostgreSQL gives out ids before transactions end: event 11 may be there while 10 is not yet, and who goes on after
    11 would never see 10. A gap is waited for, unless it lasts longer than a transaction: then its transaction was
    rolled back, or its event was deleted with its study.

    Args:
        clock: seconds that the wait is measured by.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._known: int | None = None
        self._gap_since: float | None = None

    def advance(self) -> int:
        """Look again; returns the id up to which nothing will appear any more."""
        with self._database.session() as session:
            if self._known is None:
                # What is missing among the newest may still come; what is missing before them does not.
                self._known = max(0, event_rows.newest_id(session) - _AT_A_TIME)
            ids = event_rows.ids_after(session, self._known, _AT_A_TIME)
        for event_id in ids:
            if event_id > self._known + 1 and not self._given_up():
                break
            self._known, self._gap_since = event_id, None
        return self._known

    def _given_up(self) -> bool:
        """Whether the gap that the order stands before has lasted long enough."""
        now = self._clock()
        if self._gap_since is None:
            self._gap_since = now
        return now - self._gap_since > LONGEST_TRANSACTION_SECONDS
