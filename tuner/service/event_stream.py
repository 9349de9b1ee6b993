"""Events while they happen: one look at the database for all who listen, however many."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi.concurrency import run_in_threadpool
from fastapi.sse import ServerSentEvent
from sqlalchemy.exc import DBAPIError

from tuner import insight
from tuner.errors import StudyNotFound
from tuner.insight.event_order import EventOrder
from tuner.store import Database

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_AT_A_TIME = 200
# A stream ends after so long, and the browser asks for the rest of it: who may no longer look is told then.
LONGEST_SECONDS = 600.0


class EventStream:
    """What is known of new events, for the streams of one service."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._order = EventOrder(database)
        self._known = 0
        self._news, self._looked = asyncio.Condition(), asyncio.Event()
        self._listeners = 0
        self._looking: asyncio.Task[None] | None = None

    async def follow(self, name: str | None, after: int | None) -> AsyncIterator[ServerSentEvent]:
        """Events after that id, or from now on, until the study is deleted or the stream has lasted long enough."""
        ends = time.monotonic() + LONGEST_SECONDS
        async with self._listening():
            last = after if after is not None else self._known
            # An empty message first: whoever listens knows that from here on nothing is missed.
            yield ServerSentEvent(comment="listening")
            while time.monotonic() < ends:
                upto = await self._beyond(last, ends)
                while last < upto:
                    found = await self._read(name, last, upto)
                    if found is None:
                        return
                    for event in found:
                        yield ServerSentEvent(data=event, event=event.kind, id=str(event.id))
                    last = found[-1].id if len(found) == _AT_A_TIME else upto

    async def _read(self, name: str | None, after: int, upto: int) -> list[insight.EventSummary] | None:
        """Events up to the last one that is certain; None: there is no such study any more."""
        while True:
            try:
                page = await run_in_threadpool(insight.list_events, self.database, name, after=after, limit=_AT_A_TIME)
            except StudyNotFound:
                return None
            except DBAPIError as error:
                _log.debug("Events could not be read: %s", error)
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            return [event for event in page.items if event.id <= upto]

    async def _beyond(self, last: int, ends: float) -> int:
        """Up to which id events are known, as soon as that is beyond ``last``; or after a while what it is."""
        async with self._news:
            try:
                async with asyncio.timeout(max(0.0, ends - time.monotonic())):
                    await self._news.wait_for(lambda: self._known > last)
            except TimeoutError:
                pass
            return self._known

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """Somebody looks at the database while there is a listener, and has looked once when this is entered."""
        self._listeners += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._keep_looking())
        try:
            await self._looked.wait()
            yield
        finally:
            self._listeners -= 1
            if self._listeners == 0:
                self._looking.cancel()
                self._looking = None
                self._looked.clear()

    async def _keep_looking(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> None:
        try:
            known = await run_in_threadpool(self._order.advance)
        except DBAPIError as error:
            _log.debug("Events could not be looked for: %s", error)
            return
        async with self._news:
            self._known = known
            self._news.notify_all()
        self._looked.set()
