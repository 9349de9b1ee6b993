"""A worker process: claim a trial, run it, claim the next. It needs a database, artifacts and data."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optuna.trial import TrialState as OptunaState

from tuner.engine.course.ending import settle
from tuner.engine.course.sweep import sweep
from tuner.engine.course.trial_ending import end_trial
from tuner.engine.datasets import DatasetCache
from tuner.engine.files.weights import remove_ended, remove_finished
from tuner.engine.patience import may_pass, patiently, transact
from tuner.engine.plan import Link, make_plan
from tuner.engine.search.trials import OptunaTrials
from tuner.engine.work.baseline import compute_baseline
from tuner.engine.work.failures import RETRIES, RETRY_DELAY_SECONDS, Failure, describe
from tuner.engine.work.lease import Interrupted, Interruption, LeaseKeeper
from tuner.engine.work.outage_watch import OutageWatch
from tuner.engine.work.presence import register, sign_off, stopping_by_signals
from tuner.engine.work.stage_cache import StageBusy, StageCache, waits_for
from tuner.engine.work.trial import TrialRunner
from tuner.settings import Settings
from tuner.specification import StudySpecification
from tuner.store import Database, Session, TrialState, trial_record
from tuner.store import claims as claim_rows
from tuner.store import events as event_rows
from tuner.store import slots as slot_rows
from tuner.store import studies as study_rows
from tuner.store import workers as worker_rows
from tuner.store.claims import Claim
from tuner.store.states import WorkerState
from tuner.store.trial_outcome import TrialOutcome

_log = logging.getLogger(__name__)

# How long a worker without work waits before it looks again, at most.
_IDLE_SECONDS = 0.5


@dataclass(frozen=True)
class WorkerOptions:
    """How one worker differs from others.

    Attributes:
        study: work on this study only (name or id).
        exit_when_idle: seconds without work after which the worker ends; None: never.
        parent: process whose end ends the worker.
        worker_id: chosen by who starts it, so that he can tell which one died.
    """

    study: str | None = None
    exit_when_idle: float | None = None
    parent: int | None = None
    worker_id: str | None = None


class WorkerLoop:
    """Claims trials and runs them until told to stop, or until there is no work for as long as the options say."""

    def __init__(self, database: Database, settings: Settings, options: WorkerOptions) -> None:
        self.database, self.settings, self.options = database, settings, options
        self.worker_id = options.worker_id or uuid.uuid4().hex
        self.keeper = LeaseKeeper(
            database, self.worker_id, settings.lease_seconds, options.parent, meanwhile=self._sweep
        )
        self.cache = StageCache(
            database, settings.artifacts, self.keeper, settings.cache_gb * 1e9, settings.checkpoint_epochs
        )
        self.datasets = DatasetCache(settings.prepared_gb * 1e9, self.keeper.check)
        self.study_id = self._study_id(options.study)
        self.outages = OutageWatch(database, settings.artifacts, self.worker_id, self.study_id)
        self._runners: dict[int, TrialRunner] = {}
        self._state = WorkerState.IDLE

    def run(self) -> None:
        self.outages.begin()
        register(self.database, self.worker_id, self.settings.lease_seconds)
        self.keeper.start()
        try:
            with stopping_by_signals(self.keeper.ask_to_stop):
                self._work()
        finally:
            self.keeper.close()
            sign_off(self.database, self.worker_id)

    def _work(self) -> None:
        idle_since, idle = time.monotonic(), False
        while not self.keeper.stopping:
            claim = self._claim() if self.outages.may_claim() else None
            if claim is not None:
                self._run(claim)
                idle_since, idle = time.monotonic(), False
                continue
            limit = self.options.exit_when_idle
            if limit is not None and time.monotonic() - idle_since >= limit and not self._work_may_come():
                patiently(self._sweep)
                self._clean_up(self._remove_ended)
                return
            if not idle:
                self._clean_up(self._remove_ended)
                idle = True
            self.outages.look()
            time.sleep(_IDLE_SECONDS)

    def _claim(self) -> Claim | None:
        def step(session: Session) -> Claim | None:
            now, lease = self.database.now(session), self.settings.lease_seconds
            claimed = claim_rows.claim(session, now, self.worker_id, lease, study_id=self.study_id)
            state = WorkerState.IDLE if claimed is None else WorkerState.RUNNING
            if state is not self._state:
                worker_rows.note_worker(session, self.worker_id, state)
                self._state = state
            return claimed

        return transact(self.database, step, also_full=True)

    def _work_may_come(self) -> bool:
        """Whether others' running trials, or trials not claimable just now, may still need this worker."""

        def step() -> bool:
            with self.database.session() as session:
                return slot_rows.count_work(session, self.study_id) > 0

        return patiently(step)

    def _run(self, claim: Claim) -> None:
        self.keeper.hold(claim)
        try:
            runner = self._runner(claim.study_id)
            compute_baseline(self.database, runner.study, runner.plan, self.datasets.load, self.keeper.check)
            state = runner.run(claim)
        except StageBusy as busy:
            self._put_back(claim, busy.link)
        except Interrupted as interruption:
            self._interrupted(claim, interruption)
        except Exception as error:  # noqa: BLE001 - whatever a trial raises is stored and shown
            self._went_wrong(claim, error)
        else:
            if state is TrialState.WAITING:  # it pauses; perhaps nothing else is left to do
                patiently(lambda: settle(self.database, claim.study_id))
            else:
                self._finish(claim, state)
        finally:
            self.keeper.hold(None)
            self._clean_up(lambda: self._remove_finished(claim.study_id))

    def _runner(self, study_id: int) -> TrialRunner:
        if study_id not in self._runners:
            with self.database.session() as session:
                study = study_rows.get_one(session, study_id)
            plan = make_plan(StudySpecification.model_validate(study.specification))
            self._runners = {
                study_id: TrialRunner(
                    self.database,
                    self.settings.artifacts,
                    self.keeper,
                    self.cache,
                    study,
                    plan,
                    OptunaTrials(self.database, study, plan),
                    self.datasets.load,
                    self.settings.checkpoint_epochs,
                )
            }
        return self._runners[study_id]

    def _interrupted(self, claim: Claim, interruption: Interrupted) -> None:
        if interruption.why is Interruption.SHUTDOWN:
            self._release(claim)
        elif interruption.why is Interruption.CANCELLED:
            self._end(claim, TrialState.CANCELLED, "The study was cancelled.", None)
            # Trials of it that wait half done are ended by a sweep, and the next one may be a third of a lease away.
            patiently(self._sweep)

    def _went_wrong(self, claim: Claim, error: Exception) -> None:
        """Tell an outage, after which the trial goes on from its last checkpoint, from what the trial did."""
        if may_pass(error):
            _log.warning("A trial was cut off from the database; it will be continued.")
            self._release(claim)
        elif not self.outages.met(claim, error):
            self._failed(claim, describe(error))

    def _put_back(self, claim: Claim, link: Link) -> None:
        """Let the trial wait for its stage; not claimed again at once, if nothing else passes over it."""

        def step(session: Session) -> None:
            if claim_rows.release(session, claim, not_before=self.database.now(session) + _IDLE_SECONDS):
                waiting = {"stage": link.stage.name, "epoch": 0, "epochs": link.epochs, "fraction": 0.0}
                trial_record.write_progress(session, claim.slot_id, waiting | {"note": waits_for(session, link)})

        transact(self.database, step, also_full=True)

    def _release(self, claim: Claim) -> None:
        transact(self.database, lambda session: claim_rows.release(session, claim), also_full=True)

    def _failed(self, claim: Claim, failure: Failure) -> None:
        _log.warning("A trial failed: %s: %s", failure.type, failure.message)
        if claim.failures < RETRIES[failure.kind]:
            self._retry_later(claim, failure)
            return
        self._end(claim, TrialState.FAILED, f"{failure.type}: {failure.message}", failure)

    def _retry_later(self, claim: Claim, failure: Failure) -> None:
        def step(session: Session) -> None:
            later = self.database.now(session) + RETRY_DELAY_SECONDS
            claim_rows.release(session, claim, not_before=later, failures=claim.failures + 1, error=failure.record)
            number = slot_rows.optuna_number(session, claim.slot_id)
            message = f"{failure.type}: {failure.message} It will be tried again."
            event_rows.add_event(session, claim.study_id, "retry", message, trial=number)

        transact(self.database, step, also_full=True)

    def _end(self, claim: Claim, state: TrialState, why: str, failure: Failure | None) -> None:
        """End a trial without a value: the error first, then Optuna's trial, then the claim.

        A claim that is somebody else's by now is left to him: what failed here may succeed there.
        """
        error = None if failure is None else failure.record
        if not transact(self.database, lambda session: self._is_ours(session, claim, error)):
            return
        with self.database.session() as session:
            number = slot_rows.optuna_number(session, claim.slot_id)
            name = study_rows.get_one(session, claim.study_id).optuna_name
        if number is not None:
            outcome = TrialOutcome(error=why)
            patiently(lambda: end_trial(self.database, name, number, OptunaState.FAIL, outcome))
        kind = "trial_cancelled" if state is TrialState.CANCELLED else "trial_failed"

        def step(session: Session) -> None:
            if claim_rows.finish(session, claim, state, error):
                event_rows.add_event(session, claim.study_id, kind, why, trial=number)

        transact(self.database, step, also_full=True)
        patiently(lambda: settle(self.database, claim.study_id))

    def _is_ours(self, session: Session, claim: Claim, error: dict[str, Any] | None) -> bool:
        now = self.database.now(session)
        ours = claim_rows.renew(session, now, claim, self.settings.lease_seconds) is not None
        if ours and error is not None:
            claim_rows.note_error(session, claim, error)
        return ours

    def _finish(self, claim: Claim, state: TrialState) -> None:
        transact(self.database, lambda session: claim_rows.finish(session, claim, state), also_full=True)
        patiently(lambda: settle(self.database, claim.study_id))

    def _sweep(self) -> None:
        sweep(self.database, self.settings.lease_seconds)

    def _remove_ended(self) -> None:
        remove_ended(self.database, self.settings.artifacts, self.settings.weights_gb * 1e9)

    def _remove_finished(self, study_id: int) -> None:
        with self.database.session() as session:
            study = study_rows.get(session, study_id)
        if study is not None:
            remove_finished(self.database, self.settings.artifacts, study, self.settings.weights_gb * 1e9)
        self.cache.evict()

    def _clean_up(self, step: Callable[[], None]) -> None:
        """Housekeeping between two trials; a worker that can't do it can still run trials."""
        try:
            step()
        except Exception:  # noqa: BLE001 - logged
            _log.exception("Old checkpoints could not be removed.")

    def _study_id(self, name: str | None) -> int | None:
        if name is None:
            return None
        with self.database.session() as session:
            return study_rows.find_study(session, name).id
