"""Keeps workers alive while there is work: decides how many, the executor decides where."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from tuner.engine.course.sweep import sweep
from tuner.engine.files.artifact_store import join_store
from tuner.engine.fleet.executor import Executor
from tuner.engine.fleet.local import LocalExecutor
from tuner.engine.fleet.machine import own_gpus, workers_wanted
from tuner.engine.patience import UNAVAILABLE
from tuner.errors import StoreAway
from tuner.settings import Settings
from tuner.store import Database, Session
from tuner.store import events as event_rows
from tuner.store import slots as slot_rows
from tuner.store import workers as worker_rows
from tuner.store.tables import Worker

_log = logging.getLogger(__name__)

_ROUND_SECONDS = 0.5
# When workers die before they begin, the next is started after 1, 2, 4, ... seconds, at most this.
_LONGEST_PAUSE_SECONDS = 60.0
# How long stop() waits for workers to finish their epoch before it kills them.
_STOP_SECONDS = 20.0


class Supervisor:
    """Starts and replaces workers.

    Args:
        settings: of the installation; ``settings.workers`` is the number wanted, None: what the machine has.
        executor: where they run; default: processes on this machine.
        clock: seconds that pauses are measured by.
    """

    def __init__(
        self, settings: Settings, executor: Executor | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.settings, self._clock = settings, clock
        self.executor: Executor = executor or LocalExecutor()
        self.wanted = workers_wanted(settings, own_gpus())
        self._database = Database(settings.database)
        self._started: dict[str, float] = {}
        self._pause = 0.0
        self._not_before = 0.0
        self._swept = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Begin; studies that were running when the last service ended go on by themselves.

        Raises:
            WrongStore: the artifact folder is not the database's, so no worker would begin. One that is away is waited
                for by the workers.
        """
        if self.wanted:
            try:
                join_store(self._database, self.settings.artifacts)
            except StoreAway as away:
                _log.warning("The workers wait: %s", away)
        self._thread.start()

    def stop(self) -> None:
        """Stop the workers: they finish or abandon their epoch and give back their trials."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        for worker_id in self.executor.list():
            self.executor.stop(worker_id)
        deadline = time.monotonic() + _STOP_SECONDS
        while (alive := [key for key, lives in self.executor.list().items() if lives]) and (
            time.monotonic() < deadline
        ):
            time.sleep(0.05)
        for worker_id in alive:
            self.executor.stop(worker_id, kill=True)
        self._database.close()

    def _run(self) -> None:
        while not self._ended.wait(_ROUND_SECONDS):
            try:
                self._round()
            except UNAVAILABLE as error:
                _log.warning("The database is away: %s", error)
            except OSError as error:
                _log.error("A worker could not be started: %s", error)
                self._back_off()

    def _round(self) -> None:
        for worker_id, alive in self.executor.list().items():
            if not alive:
                self._bury(worker_id)
        if self._clock() - self._swept > self.settings.lease_seconds / 3:
            sweep(self._database, self.settings.lease_seconds)
            self._swept = self._clock()
        if self._clock() < self._not_before:
            return
        with self._database.session() as session:
            work = slot_rows.count_work(session)
        for _ in range(min(self.wanted, work) - len(self._started)):
            self._started[self.executor.start(self.settings)] = self._clock()

    def _bury(self, worker_id: str) -> None:
        lived = self._clock() - self._started.pop(worker_id, 0.0)
        with self._database.transaction() as session:
            worker = worker_rows.get(session, worker_id)
            died = worker_rows.expire_worker(session, worker_id)
            message = _death(session, worker_id, worker, lived)
            if died:
                event_rows.add_event(session, None, "worker_died", message)
        if not died:
            return
        _log.warning("%s", message)
        sweep(self._database, self.settings.lease_seconds)
        if worker is None:
            self._back_off()
        else:
            self._pause = 0.0

    def _back_off(self) -> None:
        self._pause = min(max(1.0, 2 * self._pause), _LONGEST_PAUSE_SECONDS)
        self._not_before = self._clock() + self._pause


def _death(session: Session, worker_id: str, worker: Worker | None, lived: float) -> str:
    """Which worker died, where, and what it was running."""
    if worker is None:
        return f"Worker {worker_id[:8]} died after {lived:.0f} s, before it began; its log says why."
    doing = "without a trial"
    if (running := worker_rows.running_trial(session, worker_id)) is not None:
        study, number = running
        doing = f"with {'a trial' if number is None else f'trial {number}'} of {study}"
    return f"{worker_rows.worker_name(session, worker_id)} died after {lived:.0f} s, {doing}."
