"""Connections that do not last: uvicorn itself waits without end for a request that was begun and is never finished."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

# More at once are answered with 503.
MOST_CONNECTIONS = 500


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it; a connection on which a request does not arrive in time is closed."""

    request_seconds: ClassVar[float] = 60.0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._arriving: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        arrived = self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body
        if arrived:
            self._forget()
        elif self._arriving is None:
            self._arriving = self.loop.call_later(self.request_seconds, self._give_up)

    def _give_up(self) -> None:
        self._arriving = None
        answered = self.cycle is not None and self.cycle.response_complete
        # A connection that rests between two requests is closed by uvicorn's own, shorter limit.
        if not self.transport.is_closing() and not (answered and self.timeout_keep_alive_task is not None):
            self.transport.abort()

    def _forget(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None
