"""A process as a worker: others know of it while it lives, and signals end it in order."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tuner.engine.patience import transact
from tuner.store import Database, Session
from tuner.store import workers as worker_rows


def register(database: Database, worker_id: str, lease_seconds: float) -> None:
    """Let everybody know of this process as a worker, which may then hold trials and shared stages."""

    def step(session: Session) -> None:
        expires = database.now(session) + lease_seconds
        worker_rows.register(session, worker_id, socket.gethostname(), os.getpid(), expires)

    transact(database, step)


def sign_off(database: Database, worker_id: str) -> None:
    """Say that the worker has ended in order."""
    transact(database, lambda session: worker_rows.sign_off(session, worker_id))


@contextmanager
def stopping_by_signals(ask_to_stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and the first Ctrl-C ask to stop, the second Ctrl-C ends the process where it is."""
    asked = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            os._exit(130)
        asked = True
        ask_to_stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
