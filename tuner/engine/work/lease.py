"""Keeping what a worker holds: threads renew its leases however long an epoch takes, and notice cancellations."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from enum import Enum

from tuner.engine.patience import UNAVAILABLE
from tuner.store import Database, StudyState
from tuner.store import claims as claim_rows
from tuner.store import stages as stage_rows
from tuner.store import workers as worker_rows
from tuner.store.claims import Claim
from tuner.store.states import WorkerState

_log = logging.getLogger(__name__)

# After a request to stop, an epoch that ends sooner than this is finished; a longer one is abandoned.
GRACE_SECONDS = 3.0
_RENEWALS_PER_LEASE = 3
# How often a worker looks whether its trial's study was cancelled, however long a batch or a lease is.
LOOK_SECONDS = 0.5


class Interruption(Enum):
    """Why a worker must let go of its trial."""

    SHUTDOWN = "the worker was asked to stop"
    LOST = "the claim went to another worker"
    CANCELLED = "the study was cancelled"


class Interrupted(Exception):
    """Raised out of an epoch; the trial goes on from its last checkpoint, here or elsewhere."""

    def __init__(self, why: Interruption) -> None:
        super().__init__(why.value)
        self.why = why


class StageLost(Exception):
    """The lease of a shared stage went to another worker; its checkpoints will be there."""


class LeaseKeeper:
    """Renews the leases of one worker, and knows when to stop.

    Args:
        parent: process whose death ends this worker too, None for a worker on its own.
        meanwhile: what else is to be done as often as leases are renewed, however long it takes.
    """

    def __init__(
        self,
        database: Database,
        worker_id: str,
        lease_seconds: float,
        parent: int | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        self.database, self.worker_id, self.lease_seconds = database, worker_id, lease_seconds
        self._parent, self._meanwhile = parent, meanwhile
        self._lock = threading.Lock()
        self._claim: Claim | None = None
        self._stage: str | None = None
        self._claim_lost = self._cancelled = self._stage_lost = False
        self._stop_asked_at: float | None = None
        self._ended = threading.Event()
        self._noting = threading.Lock()
        # One each, so that nothing that one of them does makes another late.
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (
                ("leases", self._run),
                ("looking", self._look_around),
                ("meanwhile", self._do_meanwhile),
            )
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads; leases are no longer renewed."""
        self._ended.set()
        for thread in self._threads:
            thread.join(timeout=self.lease_seconds)

    def ask_to_stop(self) -> None:
        """Make the worker stop soon; safe within a signal handler."""
        if self._stop_asked_at is None:
            self._stop_asked_at = time.monotonic()

    @property
    def stopping(self) -> bool:
        return self._stop_asked_at is not None

    def hold(self, claim: Claim | None) -> None:
        """Renew this claim from now on, or none."""
        with self._lock, self._noting:
            self._claim, self._claim_lost, self._cancelled = claim, False, False

    def hold_stage(self, key: str | None) -> None:
        """Renew the lease of this shared stage from now on, or none."""
        with self._lock:
            self._stage, self._stage_lost = key, False

    def note_state(self, state: StudyState | None) -> None:
        """Take notice of the claimed study's state; None: the claim is no longer ours."""
        self._claim_lost = self._claim_lost or state is None
        self._cancelled = self._cancelled or state is StudyState.CANCELLED

    def look(self) -> None:
        """Take notice of what happened to the claim; reads only, so that no other writer makes it wait."""
        claim = self._claim
        if claim is None:
            return
        with self.database.session() as session:
            state = claim_rows.state_of_study(session, claim)
        with self._noting:
            if self._claim is claim:  # else it was given back meanwhile, and the next one is not concerned
                self.note_state(state)

    def check(self, *, between_epochs: bool = False) -> None:
        """Raise what must end the current work.

        Args:
            between_epochs: nothing is lost by stopping here, so there is no grace.

        Raises:
            Interrupted: stop, let go.
            StageLost: the shared stage is somebody else's now.
        """
        if self._claim_lost:
            raise Interrupted(Interruption.LOST)
        if self._cancelled:
            raise Interrupted(Interruption.CANCELLED)
        if self._stage_lost:
            raise StageLost
        asked = self._stop_asked_at
        if asked is not None and (between_epochs or time.monotonic() - asked > GRACE_SECONDS):
            raise Interrupted(Interruption.SHUTDOWN)

    def check_stage(self) -> None:
        """Raise StageLost when the shared stage is somebody else's now."""
        if self._stage_lost:
            raise StageLost

    def _look_around(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            try:
                self.look()
            except UNAVAILABLE as error:
                _log.debug("The study's state could not be read: %s", error)

    def _run(self) -> None:
        while not self._ended.wait(self.lease_seconds / _RENEWALS_PER_LEASE):
            if self._parent is not None and os.getppid() != self._parent:
                self.ask_to_stop()
            try:
                self._renew()
            except UNAVAILABLE as error:
                # Nobody can take our leases while the database is away; the next round comes soon.
                _log.warning("Leases could not be renewed: %s", error)

    def _do_meanwhile(self) -> None:
        while self._meanwhile is not None and not self._ended.wait(self.lease_seconds / _RENEWALS_PER_LEASE):
            try:
                self._meanwhile()
            except UNAVAILABLE as error:
                _log.debug("The database is away: %s", error)
            except Exception:  # noqa: BLE001 - logged
                # Other workers' affairs are no reason to end.
                _log.exception("What is done beside the renewals failed; trying again later.")

    def _renew(self) -> None:
        with self._lock, self.database.transaction() as session:
            now = self.database.now(session)
            worker_rows.renew(session, self.worker_id, self._state(), now + self.lease_seconds)
            if self._claim is not None:
                self.note_state(claim_rows.renew(session, now, self._claim, self.lease_seconds))
            if self._stage is not None:
                kept = stage_rows.renew(session, now, self._stage, self.worker_id, self.lease_seconds)
                self._stage_lost = self._stage_lost or not kept

    def _state(self) -> WorkerState:
        if self.stopping:
            return WorkerState.STOPPING
        return WorkerState.IDLE if self._claim is None else WorkerState.RUNNING
