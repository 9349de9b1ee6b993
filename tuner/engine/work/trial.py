"""One trial, from its parameters to its value: shared stage, own stage, test, every step resumable."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from model.config import Config
from model.data import SequentialDataset
from model.definition import Stage
from model.errors import CheckpointError
from model.protocol import protocol_of
from model.run import EpochReport, StageRun, start_run
from tuner.engine.course.promotion import arrive
from tuner.engine.course.trial_ending import end_trial
from tuner.engine.files.artifact_store import require_store
from tuner.engine.files.artifacts import final_checkpoint, trial_folder
from tuner.engine.files.integrity import check_digest, set_aside, told
from tuner.engine.files.weights import keeps_pruned
from tuner.engine.patience import UNAVAILABLE, patiently, transact
from tuner.engine.plan import Link, Plan
from tuner.engine.search.ladder import ladder_of
from tuner.engine.search.trials import OptunaTrial, OptunaTrials
from tuner.engine.work.driver import Driver, resumed, started_from
from tuner.engine.work.lease import Interrupted, Interruption, LeaseKeeper
from tuner.engine.work.stage_cache import StageCache, StageRequest, waits_for
from tuner.store import Database, Session, TrialState, trial_record
from tuner.store import claims as claim_rows
from tuner.store import events as event_rows
from tuner.store import slots as slot_rows
from tuner.store import stages as stage_rows
from tuner.store import trial_files as file_rows
from tuner.store.claims import Claim
from tuner.store.states import Origin
from tuner.store.tables import Study
from tuner.store.trial_outcome import TEST, TrialOutcome

_log = logging.getLogger(__name__)

_PROGRESS_SECONDS = 1.0
# What a trial's inputs are, for people.
_INPUTS = {"data": "the data", "pretrained": "the pretrained model"}
# A trial that was pruned or completed: its state here and in Optuna.
ENDINGS = {
    OptunaState.COMPLETE: TrialState.COMPLETED,
    OptunaState.PRUNED: TrialState.PRUNED,
    OptunaState.FAIL: TrialState.FAILED,
}


@dataclass
class TrialRunner:
    """Runs claimed trials of one study in this process.

    Attributes:
        load: gives the data set of a configuration; keeps the last one.
        checkpoint_epochs: epochs between two checkpoints.
    """

    database: Database
    artifacts: Path
    keeper: LeaseKeeper
    cache: StageCache
    study: Study
    plan: Plan
    trials: OptunaTrials
    load: Callable[[Config], SequentialDataset]
    checkpoint_epochs: int = 1

    def __post_init__(self) -> None:
        self.ladder = ladder_of(self.study.pruner)

    def run(self, claim: Claim) -> TrialState:
        """Run the trial to its end, or until it is given back (``waiting``) to be promoted later.

        Raises:
            Interrupted, StageBusy: it has not ended, and can be continued.
            Exception: it failed.
        """
        number = patiently(lambda: self.trials.begin(claim))
        transact(self.database, lambda session: claim_rows.link(session, claim, number))
        trial = patiently(lambda: self.trials.open(number))
        if trial.ended is not None:
            return ENDINGS[trial.ended]
        if (same := self._trained_alike(claim, trial)) is not None:
            self._take_over(claim, trial, same)
            return TrialState.COMPLETED
        run = TrialRun(self, claim, trial)
        return run.execute()

    def _trained_alike(self, claim: Claim, trial: OptunaTrial) -> FrozenTrial | None:
        """The trial whose result this one would have, for the sampler has drawn its parameters again.

        One that has begun to train goes on: its result is the same. Where files have changed since, or it isn't known
        what another one was trained on, the parameters are trained again.
        """
        if claim.origin is not Origin.SAMPLED or not self.plan.specification.reuse_results:
            return None
        with self.database.session() as session:
            if trial_record.own_seconds(session, claim.slot_id) > 0.0:
                return None
        alike = patiently(lambda: self.trials.trained_alike(trial))
        if not alike:
            return None
        config = self.plan.stage_config(self.plan.own_stage, trial.params)
        inputs = self.inputs(config, self.load(config))
        measured = [(other, TrialOutcome.read(other.user_attrs).inputs) for other in alike]
        for other, theirs in measured:
            if theirs == inputs:
                return other
        changed = [(other.number, theirs) for other, theirs in measured if theirs is not None]
        if changed:
            number, theirs = changed[-1]
            what = " and ".join(sorted(_INPUTS[name] for name in inputs if inputs[name] != theirs.get(name)))
            message = f"Trial {trial.number} has the parameters of trial {number}, but {what} changed since, so it is "
            message += "trained. Values from before and after that can't be compared."
            transact(
                self.database,
                lambda session: event_rows.add_event(session, claim.study_id, "data", message, trial=trial.number),
            )
        return None

    def inputs(self, config: Config, dataset: SequentialDataset) -> dict[str, str]:
        """What an own stage of that configuration is trained on."""
        given = self.plan.given_checkpoint(config)
        return {"data": dataset.fingerprint} | ({} if given is None else {"pretrained": check_digest(given, ())})

    def _take_over(self, claim: Claim, trial: OptunaTrial, same: FrozenTrial) -> None:
        """End the trial with the result of another one, as its own training would have ended it."""
        for epoch, score in sorted(same.intermediate_values.items()):
            patiently(partial(trial.report, score, epoch))
        outcome = replace(
            TrialOutcome.read(same.user_attrs),
            values=self.plan.space.values(trial.params),
            seconds={},
            same_as=same.number,
        )
        message = f"Trial {trial.number} has the parameters of trial {same.number}, and so its result."
        transact(
            self.database,
            lambda session: event_rows.add_event(session, claim.study_id, "reused", message, trial=trial.number),
        )
        name = self.study.optuna_name
        patiently(lambda: end_trial(self.database, name, trial.number, OptunaState.COMPLETE, outcome, same.value))


class TrialRun:
    """One attempt at one trial."""

    def __init__(self, runner: TrialRunner, claim: Claim, trial: OptunaTrial) -> None:
        self.runner, self.claim, self.trial = runner, claim, trial
        self.plan, self.keeper = runner.plan, runner.keeper
        self._written = 0.0
        self._valid_score: float | None = None

    def execute(self) -> TrialState:
        config, dataset = self._inputs()
        states = _OwnStates(self)
        run = resumed(states, lambda: self._fresh(config, dataset)) or self._started(config, dataset)
        show = partial(self._show, run.epochs)
        driver = Driver(run, self.keeper, states.keep, show, every=self.runner.checkpoint_epochs)
        if self._pauses(driver):
            return TrialState.WAITING
        for report in driver.epochs():
            self._record(report)
            if report.valid_score is not None and not run.finished and self._may_be_pruned():
                driver.keep()
                return self._end(run, OptunaState.PRUNED)
            if self._pauses(driver):
                return TrialState.WAITING
        return self._end(run, OptunaState.COMPLETE)

    def _announce(self, name: str, sha256: str) -> None:
        """Record what a file of this trial will hold; who has lost the trial writes none."""

        def step(session: Session) -> None:
            now, lease = self.runner.database.now(session), self.keeper.lease_seconds
            if claim_rows.renew(session, now, self.claim, lease) is None:
                raise Interrupted(Interruption.LOST)
            file_rows.announce(session, self.claim.slot_id, name, sha256)

        transact(self.runner.database, step)

    def _config(self, stage: Stage) -> Config:
        config = self.plan.stage_config(stage, self.trial.params)
        return config if self.claim.seed is None else config.replace({"seed": self.claim.seed})

    def _inputs(self) -> tuple[Config, SequentialDataset]:
        """The configuration of the trial's own stage, and its data set."""
        config = self._config(self.plan.own_stage)
        return config, self.runner.load(config)

    def _may_be_pruned(self) -> bool:
        return self.claim.confirms is None and patiently(self.trial.should_prune)

    def _pauses(self, driver: Driver) -> bool:
        """Whether the trial was given back at a rung of successive halving, to go on when it is promoted."""
        ladder, epoch, score = self.runner.ladder, driver.run.epoch, driver.run.best_valid_score
        if driver.finished or ladder is None or score is None or self.claim.confirms is not None:
            return False
        if ladder.rung(epoch) is None:
            return False
        driver.keep()  # once it is given back, the file is for others to write
        return not patiently(lambda: arrive(self.runner.database, ladder, self.claim, epoch, score))

    def _fresh(self, config: Config, dataset: SequentialDataset, initial: Path | None = None) -> StageRun:
        return start_run(self.plan.definition, self.plan.own_stage.name, config, dataset, initial=initial)

    def _started(self, config: Config, dataset: SequentialDataset) -> StageRun:
        given = self.plan.given_checkpoint(config)
        patiently(lambda: self.trial.note_inputs(self.runner.inputs(config, dataset)))
        initial = self._shared(dataset) if given is None else given
        if initial is None or given is not None:
            return self._fresh(config, dataset, initial)
        run = started_from(initial, partial(self._fresh, config, dataset), self.runner.cache.distrust)
        return run or self._fresh(config, dataset, self._shared(dataset))

    def _shared(self, dataset: SequentialDataset) -> Path | None:
        """The checkpoint of the last shared stage, from which this trial continues."""
        chain = self.plan.chain(self._config, dataset.fingerprint)
        if not chain:
            return None
        request: StageRequest | None = None
        for link in chain:
            keep = self._epochs_of_others(link)
            request = StageRequest(link, self.plan.definition, dataset, request, keep)
        assert request is not None
        asked = sum(link.epochs for link in chain)
        transact(self.runner.database, lambda session: self._plan_stage(session, chain[-1], asked))
        # A combination of a grid, or a confirmation, can wait while its worker takes another; a sampled trial is
        # better finished, or the sampler would choose more and more of them without having seen a result.
        waits = self.claim.origin not in (Origin.GRID, Origin.CONFIRM)
        path = self.runner.cache.obtain(
            request,
            self.claim,
            on_progress=lambda link, epoch, fraction, loss: self._progress(
                link.stage.name, epoch, link.epochs, fraction, loss
            ),
            on_wait=self._wait if waits else None,
        )
        slot = self.claim.slot_id
        transact(self.runner.database, lambda session: slot_rows.count_reused(session, slot, asked))
        return path

    def _plan_stage(self, session: Session, last: Link, asked: int) -> None:
        """Tell everybody which stage this trial needs, and those of its group, which need the same one."""
        slot_rows.need_stage(session, self.claim.slot_id, last.key, last.epochs, asked)
        if self.claim.group_key is not None:
            slot_rows.expect_stage(session, self.claim.study_id, self.claim.group_key, last.key)

    def _epochs_of_others(self, link: Link) -> set[int]:
        with self.runner.database.session() as session:
            return stage_rows.wanted_epochs(session, link.key) | self.plan.epoch_choices(link.stage)

    def _show(self, epochs: int, epoch: int, fraction: float, loss: float) -> None:
        stage = self.plan.own_stage.name
        if fraction < 1:
            self._progress(stage, epoch, epochs, fraction, loss)
        else:
            self._progress(stage, epoch, epochs, fraction, loss, note="validating", at_once=True)

    def _wait(self, link: Link) -> None:
        with self.runner.database.session() as session:
            note = waits_for(session, link)
        self._progress(link.stage.name, 0, link.epochs, 0.0, None, note=note)

    def _progress(
        self,
        stage: str,
        epoch: int,
        epochs: int,
        fraction: float,
        loss: float | None,
        *,
        note: str | None = None,
        at_once: bool = False,
    ) -> None:
        """Write where the trial is, at most once a second, and notice what happened to its study."""
        now = time.monotonic()
        if now - self._written < _PROGRESS_SECONDS and not at_once:
            return
        self._written = now
        values: Mapping[str, Any] = {
            "stage": stage,
            "epoch": epoch,
            "epochs": epochs,
            "fraction": fraction,
            "loss": loss,
            "valid_score": self._valid_score,
            "note": note,
        }
        with suppress(*UNAVAILABLE), self.runner.database.transaction() as session:
            now_there = self.runner.database.now(session)
            state = claim_rows.renew(session, now_there, self.claim, self.keeper.lease_seconds)
            self.keeper.note_state(state)
            if state is not None:
                trial_record.write_progress(session, self.claim.slot_id, values)

    def _record(self, report: EpochReport) -> None:
        """Write the epoch before its checkpoint is: a crash in between repeats it with the same bits."""
        self._valid_score = report.valid_score
        values = {
            "slot_id": self.claim.slot_id,
            "stage": report.stage,
            "epoch": report.epoch,
            "loss": report.loss,
            "mean_loss": report.mean_loss,
            "valid_score": report.valid_score,
            "valid_result": report.valid_result,
            "seconds": report.seconds,
        }

        def step(session: Session) -> None:
            trial_record.write_epoch(session, values)
            slot_rows.count_own_epoch(session, self.claim.slot_id, report.seconds)
            claim_rows.note_own_advance(session, self.claim, report.epoch)
            # All trials of a study validate alike; one of them saying so is enough.
            if report.advice and self.trial.number == 0:
                event_rows.add_event(session, self.claim.study_id, "advice", report.advice, trial=0)

        transact(self.runner.database, step)
        if report.valid_score is not None:
            score = report.valid_score
            patiently(lambda: self.trial.report(score, report.epoch))

    def _end(self, run: StageRun, state: OptunaState) -> TrialState:
        """Write what is kept of the trial, then end it in Optuna.

        What was pruned is compared by its validation only, and so is not tested. Who is killed between the two leaves
        the state that the run goes on from, with which the next attempt comes here again.
        """
        self.keeper.check(between_epochs=True)
        outcome = self._outcome(run)
        if state is OptunaState.COMPLETE:
            outcome = self._tested(run, outcome)
        if state is OptunaState.COMPLETE or keeps_pruned(self.runner.study):
            path = final_checkpoint(self.runner.artifacts, self.claim.study_id, self.trial.number)
            require_store(self.runner.artifacts)
            announce = partial(self._announce, path.name)
            run.save(path, best=True, test_result=outcome.test_result, announce=announce)
        database, name, number = self.runner.database, self.runner.study.optuna_name, self.trial.number
        patiently(lambda: end_trial(database, name, number, state, outcome, run.best_valid_score))
        return ENDINGS[state]

    def _outcome(self, run: StageRun) -> TrialOutcome:
        stage = self.plan.own_stage
        return TrialOutcome(
            best_epoch=run.best_epoch or run.epoch,
            valid_result=run.best_valid_result,
            seconds={stage.name: patiently(self._own_seconds)},
            values=self.plan.space.values(self.trial.params),
            protocol=protocol_of(self.plan.stage_config(stage, self.trial.params)),
        )

    def _tested(self, run: StageRun, outcome: TrialOutcome) -> TrialOutcome:
        begun = time.monotonic()
        stage = self.plan.own_stage.name
        self._progress(stage, run.epoch, run.epochs, 1.0, None, note="testing the best epoch", at_once=True)
        result = run.result(self.keeper.check)
        seconds = (outcome.seconds or {}) | {TEST: time.monotonic() - begun}
        return replace(outcome, test_result=result.test_result, seconds=seconds)

    def _own_seconds(self) -> float:
        with self.runner.database.session() as session:
            return trial_record.own_seconds(session, self.claim.slot_id)


class _OwnStates:
    """The states of a trial's own stage: one file, which always holds the last one."""

    def __init__(self, run: TrialRun) -> None:
        self._run = run
        self._root, self._slot_id = run.runner.artifacts, run.claim.slot_id
        stage = run.plan.own_stage.name
        self.path = trial_folder(self._root, run.claim.study_id, run.trial.number) / f"{stage}.pth"

    def found(self) -> list[Path]:
        return [self.path] if self.path.is_file() else []

    def resume(self, run: StageRun, path: Path) -> None:
        with self._run.runner.database.session() as session:
            digests = file_rows.digests(session, self._slot_id, path.name)
        check_digest(path, digests)
        run.resume(path)

    def set_aside(self, path: Path, error: CheckpointError) -> None:
        number, stage = self._run.trial.number, self._run.plan.own_stage.name
        _log.warning("Trial %d starts its stage again: %s", number, error)
        moved = set_aside(self._root, path)
        message = told(error, moved, f"The trial's {stage} is run again from its beginning.")

        def step(session: Session) -> None:
            file_rows.forget(session, self._slot_id, path.name)
            event_rows.add_event(session, self._run.claim.study_id, "damaged", message, trial=number)

        transact(self._run.runner.database, step)

    def keep(self, run: StageRun, before: int) -> None:
        del before  # the same file
        require_store(self._root)
        run.save(self.path, announce=partial(self._run._announce, self.path.name))
