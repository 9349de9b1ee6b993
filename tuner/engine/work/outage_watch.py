"""What a worker does about outages: give the trial back, pause its study, and look when it can go on."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from pathlib import Path

from model.data.catalog import cache_root
from model.registry import parameters_of
from tuner.engine.course.sweep import MAX_LOSSES
from tuner.engine.files.artifact_store import join_store
from tuner.engine.outage import DATABASE, Outage, Places
from tuner.engine.patience import patiently, transact
from tuner.engine.work.failures import RETRY_DELAY_SECONDS
from tuner.errors import StoreAway
from tuner.store import Database, Session, StudyState
from tuner.store import claims as claim_rows
from tuner.store import events as event_rows
from tuner.store import slots as slot_rows
from tuner.store import studies as study_rows
from tuner.store import workers as worker_rows
from tuner.store.claims import Claim

_log = logging.getLogger(__name__)

# How often a worker without a trial tries whether an outage is over.
LOOK_SECONDS = 2.0


class OutageWatch:
    """Outages as one worker meets them. Its own storage decides: what is away here may be there elsewhere.

    Args:
        root: artifact folder.
        study_id: the only study that the worker works on, None for all.
    """

    def __init__(self, database: Database, root: Path, worker_id: str, study_id: int | None = None) -> None:
        self._database, self._root = database, root
        self._worker_id, self._study_id = worker_id, study_id
        self._away: Places | None = None
        self._joined = True
        self._looked = 0.0

    def begin(self) -> None:
        """Look whether the artifact folder is the database's. One that is away is waited for, with nothing claimed.

        Raises:
            WrongStore: it is another one.
            OSError: the folder of a database that has none yet can't be read or written.
        """
        try:
            patiently(lambda: join_store(self._database, self._root))
        except StoreAway as away:
            self._joined = False
            message = f"A worker that starts on {socket.gethostname()} (process {os.getpid()}) waits: {away}"
            _log.warning("%s", message)
            transact(
                self._database,
                lambda session: event_rows.add_event(session, None, "outage", message),
                also_full=True,
            )

    def met(self, claim: Claim, error: Exception) -> bool:
        """Give the trial back if the error is an outage; False: it is something else."""
        places = self._places(claim.study_id)
        if (outage := places.outage(error)) is None:
            return False
        lasting = places.probe()
        self._away = places if lasting else None
        _log.warning("A trial is given back: %s", (lasting or outage).reason)
        met, lasts = lasting or outage, lasting is not None
        transact(self._database, lambda session: self._give_back(session, claim, met, lasts=lasts), also_full=True)
        return True

    def may_claim(self) -> bool:
        """Whether the worker has what trials need, as far as it knows.

        Raises:
            WrongStore: what stands now where the artifact folder was away is another one.
        """
        if not self._joined and self._is_due():
            with contextlib.suppress(StoreAway):
                patiently(lambda: join_store(self._database, self._root))
                self._joined = True
                _log.warning("The artifact folder is there again.")
        if not self._joined:
            return False
        if self._away is not None and self._is_due() and self._away.probe() is None:
            self._away = None
        return self._away is None

    def look(self) -> None:
        """Let studies go on that an outage paused, if this worker finds what they need."""
        if self._joined and self._away is None and self._is_due():
            patiently(self._resume, also_full=True)

    def _is_due(self) -> bool:
        due = time.monotonic() - self._looked >= LOOK_SECONDS
        if due:
            self._looked = time.monotonic()
        return due

    def _resume(self) -> None:
        with self._database.session() as session:
            paused = [study.id for study in study_rows.paused_by_outage(session) if self._study_id in (None, study.id)]
        for study_id in paused:
            if self._places(study_id).probe() is None:
                with self._database.transaction() as session:
                    study = study_rows.find_study(session, study_id, lock=True)
                    if study.state is StudyState.PAUSED and study.outage is not None:
                        why = f"the {study.outage} is there again"
                        study_rows.set_state(session, study, study_rows.going(study), why)

    def _give_back(self, session: Session, claim: Claim, outage: Outage, *, lasts: bool) -> None:
        study = study_rows.get_one(session, claim.study_id, lock=True)
        # What is over before it was looked at may be no outage but the trial: it may not come back for ever.
        losses = slot_rows.get_one(session, claim.slot_id).losses  # the trial may have got on since it was claimed
        tries = losses if lasts or outage.store == DATABASE else losses + 1
        given_up = tries > MAX_LOSSES
        later = self._database.now(session) + RETRY_DELAY_SECONDS
        released = claim_rows.release(session, claim, not_before=later, losses=0 if given_up else tries)
        if not released:
            return  # somebody else has it by now
        number = slot_rows.optuna_number(session, claim.slot_id)
        who = worker_rows.worker_name(session, self._worker_id)
        event_rows.add_event(session, study.id, "outage", f"{who}: {outage.reason}", trial=number)
        if study.state is not StudyState.RUNNING:
            return
        if lasts:
            study_rows.set_state(session, study, StudyState.PAUSED, outage.reason, outage=outage.store)
        elif given_up:
            called = "a trial" if number is None else f"trial {number}"
            why = f"{tries} times {called} met this, and each time a worker could write and read again: {outage.error}"
            study_rows.set_state(session, study, StudyState.PAUSED, why)

    def _places(self, study_id: int) -> Places:
        with self._database.session() as session:
            specification = study_rows.get_one(session, study_id).specification
        default = parameters_of(specification["model"])["data_path"].default
        data_path = specification["config"].get("data_path", default)
        return Places(self._root, specification["dataset"], (Path(data_path or "dataset"), cache_root()))
