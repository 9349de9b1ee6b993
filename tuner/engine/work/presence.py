"""A process as a worker: others know of it while it lives, and signals end it in order."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from sqlalchemy import update

from tuner.engine.patience import patiently
from tuner.store import Database
from tuner.store.states import WorkerState
from tuner.store.tables import Worker, utc_now


def register(database: Database, worker_id: str, lease_seconds: float) -> None:
    """Let everybody know of this process as a worker, which may then hold trials and shared stages."""

    def step() -> None:
        with database.transaction() as session:
            expires = database.now(session) + lease_seconds
            host, pid = socket.gethostname(), os.getpid()
            session.merge(Worker(id=worker_id, host=host, pid=pid, state=WorkerState.IDLE, lease_expires=expires))

    patiently(step)


def sign_off(database: Database, worker_id: str) -> None:
    """Say that the worker has ended in order."""

    def step() -> None:
        with database.transaction() as session:
            stopped = {"state": WorkerState.STOPPED, "ended_at": utc_now()}
            session.execute(update(Worker).where(Worker.id == worker_id).values(**stopped))

    patiently(step)


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
