"""Shared stages: have it, resume it, wait for whoever runs it, or run it.

The files ``<artifacts>/stages/<key>/<epoch>.pth`` and their rows can disagree after a crash; whoever acquires
a stage puts that right, and nobody else. A file is written before its row and deleted after it, so a row's file is
there unless it was evicted a moment ago. The row has the file's SHA-256, and a file that has another is not used; one
without a row is looked at by whoever could go on from it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from model.data import SequentialDataset
from model.definition import ModelDefinition
from model.errors import CheckpointError
from model.run import EpochReport, StageRun, start_run
from tuner.engine.files.artifact_store import require_store
from tuner.engine.files.artifacts import stage_checkpoint, stage_folder
from tuner.engine.files.integrity import check_digest, set_aside, told
from tuner.engine.patience import patiently, transact
from tuner.engine.plan import Link
from tuner.engine.work.driver import Driver, resumed, started_from
from tuner.engine.work.lease import LeaseKeeper, StageLost
from tuner.store import Database, Session
from tuner.store import claims as claim_rows
from tuner.store import events as event_rows
from tuner.store import slots as slot_rows
from tuner.store import stages as stage_rows
from tuner.store.claims import Claim

_log = logging.getLogger(__name__)

# How often a waiting trial looks whether the stage has got on.
_LOOK_SECONDS = 0.5

Progress = Callable[[Link, int, float, float], None]


class StageBusy(Exception):
    """Another worker runs the stage ``link``, and the caller has something better to do than to wait."""

    def __init__(self, link: Link) -> None:
        super().__init__(link.stage.name)
        self.link = link


class _BeforeMissing(Exception):
    """The stage has to be begun, and the checkpoint that it begins from is not there (any more)."""


@dataclass(frozen=True)
class StageRequest:
    """What a trial needs of a shared stage.

    Attributes:
        link: the stage, and how far it must have been trained.
        before: the stage that it starts from; None for the first.
        keep: further epochs whose checkpoints others will want.
    """

    link: Link
    definition: ModelDefinition
    dataset: SequentialDataset
    before: StageRequest | None = None
    keep: Collection[int] = field(default=())

    @property
    def key(self) -> str:
        return self.link.key

    @property
    def epochs(self) -> int:
        return self.link.epochs

    @property
    def epochs_before(self) -> int:
        """Epochs of all stages before it."""
        return 0 if self.before is None else self.before.epochs_before + self.before.epochs


def waits_for(session: Session, link: Link) -> str:
    """What a trial waits for while another one's worker trains its stage, for people."""
    who, done = stage_rows.trainer(session, link.key), stage_rows.furthest(session, link.key)
    trained = "" if who is None else f", which {who} trains: {done} done"
    return f"waits for {link.stage.name} epoch {link.epochs}{trained}"


class StageCache:
    """Shared stages as one worker sees them.

    Args:
        root: artifact folder.
        bound: bytes that checkpoints nobody uses may take.
        checkpoint_epochs: epochs between two checkpoints to resume from.
    """

    def __init__(
        self, database: Database, root: Path, keeper: LeaseKeeper, bound: float, checkpoint_epochs: int = 1
    ) -> None:
        self.database, self.root, self.keeper, self.bound = database, root, keeper, bound
        self.checkpoint_epochs = checkpoint_epochs
        self._distrusted: set[Path] = set()

    def obtain(
        self,
        request: StageRequest,
        claim: Claim,
        *,
        on_progress: Progress,
        on_wait: Callable[[Link], None] | None,
    ) -> Path:
        """The checkpoint of the stage after ``request.epochs`` epochs.

        Epochs that have to be run for it, of this stage and of those before it, are counted with the caller's trial.
        A stage before it is obtained only where this one has to be begun; nothing is held meanwhile.

        Args:
            on_progress: called with (stage, epoch from 1, fraction, loss).
            on_wait: called with the stage while another worker runs it; None: do not wait.

        Raises:
            StageBusy: another worker runs it, or one before it, and ``on_wait`` is None.
            Interrupted: see LeaseKeeper.check.
        """
        self._ensure(request)
        while True:
            if (ready := self._ready(request.key, request.epochs)) is not None:
                return ready
            initial = None
            if request.before is not None and not self._resumable(request):
                initial = self.obtain(request.before, claim, on_progress=on_progress, on_wait=on_wait)
            if self._acquire(request):
                try:
                    self._run(request, claim, on_progress, initial)
                except StageLost:
                    _log.warning("The lease of stage %s was lost; looking again.", request.key[:12])
                except _BeforeMissing:
                    _log.info("What stage %s begins from is obtained again.", request.key[:12])
                finally:
                    self._release(request.key)
            elif on_wait is None:
                raise StageBusy(request.link)
            else:
                on_wait(request.link)
                self.keeper.check(between_epochs=True)
                time.sleep(_LOOK_SECONDS)

    def _ensure(self, request: StageRequest) -> None:
        """Make sure that the stage and those before it have rows, which say what starts from what."""
        if request.before is not None:
            self._ensure(request.before)
        before = None if request.before is None else (request.before.key, request.before.epochs)
        link, names = request.link, {"model": request.definition.name, "dataset": request.dataset.name}
        transact(
            self.database,
            lambda session: stage_rows.ensure(session, link.key, stage=link.stage.name, before=before, **names),
        )

    def _resumable(self, request: StageRequest) -> bool:
        return any(epoch <= request.epochs for epoch in _epochs(stage_folder(self.root, request.key)))

    def distrust(self, path: Path) -> None:
        """Do not use a checkpoint that turned out to be damaged; whoever holds its stage next sets it aside."""
        self._distrusted.add(path)

    def evict(self) -> int:
        """Delete what nobody uses beyond the bound; returns the bytes freed."""
        return evict(self.database, self.root, self.bound)

    def _ready(self, key: str, epoch: int) -> Path | None:
        """The checkpoint, None when there is none that is known to be as it was written."""
        path = stage_checkpoint(self.root, key, epoch)
        with self.database.session() as session:
            known = stage_rows.digests(session, key)
        digest = known.get(epoch)
        if digest is None or path in self._distrusted:
            return None
        try:
            check_digest(path, (digest,))
        except CheckpointError:
            return None  # its row is for the holder to drop
        transact(self.database, lambda session: stage_rows.touch(session, key, epoch))
        return path

    def _acquire(self, request: StageRequest) -> bool:
        seconds = self.keeper.lease_seconds

        def step(session: Session) -> bool:
            now = self.database.now(session)
            return stage_rows.acquire(session, now, request.key, self.keeper.worker_id, seconds, request.epochs)

        if not transact(self.database, step):
            return False
        self.keeper.hold_stage(request.key)
        return True

    def _release(self, key: str) -> None:
        self.keeper.hold_stage(None)
        transact(self.database, lambda session: stage_rows.release(session, key, self.keeper.worker_id))

    def _run(self, request: StageRequest, claim: Claim, on_progress: Progress, initial: Path | None) -> None:
        self._reconcile(request.key)
        states = _SharedStates(self, request, claim)
        run = resumed(states, lambda: self._fresh(request)) or self._from_before(request, initial)
        if run.epochs == 0:
            states.keep(run, 0)
        driver = Driver(
            run,
            self.keeper,
            states.keep,
            partial(on_progress, request.link),
            every=self.checkpoint_epochs,
            wanted=states.wanted,
        )
        for report in driver.epochs():
            self._count(request, claim, report)

    def _from_before(self, request: StageRequest, initial: Path | None) -> StageRun:
        """A run at its start, with the weights of the stage before it if there is one."""
        if request.before is None:
            return self._fresh(request)
        run = None if initial is None else started_from(initial, partial(self._fresh, request), self.distrust)
        if run is None:
            raise _BeforeMissing
        return run

    def _fresh(self, request: StageRequest, initial: Path | None = None) -> StageRun:
        before = None if request.before is None else (request.before.key, request.before.epochs)
        link = request.link
        return start_run(
            request.definition, link.stage.name, link.config, request.dataset, initial=initial, before=before
        )

    def _count(self, request: StageRequest, claim: Claim, report: EpochReport) -> None:
        """Record that the epoch was computed, before its checkpoint: a repeated one counts again."""

        def step(session: Session) -> None:
            stage_rows.add_epoch(session, request.key, report.epoch, report.loss, report.mean_loss, report.seconds)
            slot_rows.count_shared_epoch(session, claim.slot_id, report.seconds)
            claim_rows.note_advance(session, claim, request.epochs_before + report.epoch)

        transact(self.database, step)

    def _save(self, run: StageRun, key: str, keep: Collection[int]) -> None:
        self.keeper.check_stage()
        require_store(self.root)
        sha256 = run.save(stage_checkpoint(self.root, key, run.epoch))
        self._add(key, run.epoch, sha256, kept=run.epoch in keep)

    def _add(self, key: str, epoch: int, sha256: str, *, kept: bool) -> None:
        size = stage_checkpoint(self.root, key, epoch).stat().st_size
        transact(
            self.database,
            lambda session: stage_rows.add_checkpoint(session, key, epoch, size=size, kept=kept, sha256=sha256),
        )

    def _drop(self, key: str, epoch: int, keep: Collection[int]) -> None:
        """Delete a checkpoint that only served to resume this run, unless a trial wants just that epoch."""
        if epoch in keep or epoch == 0:
            return
        with self.database.session() as session:
            wanted = stage_rows.is_wanted(session, key, epoch) or stage_rows.is_kept(session, key, epoch)
        if not wanted:
            self._delete(key, epoch)

    def _delete(self, key: str, epoch: int) -> None:
        patiently(lambda: _delete(self.database, self.root, key, epoch))

    def _reconcile(self, key: str) -> None:
        """Drop rows whose files are gone, and files that were never finished; only the holder of the stage may."""
        require_store(self.root)
        folder = stage_folder(self.root, key)
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.tmp"):  # what a killed worker left half-written
            left.unlink(missing_ok=True)
        found = _epochs(folder)
        with self.database.transaction() as session:
            for epoch in set(stage_rows.digests(session, key)) - found:
                stage_rows.forget_checkpoint(session, key, epoch)


class _SharedStates:
    """The states of a shared stage: a file for every epoch that somebody wants or from which the stage can go on.

    Args:
        request: what is asked for by the trial of ``claim``, whose worker holds the stage.
    """

    def __init__(self, cache: StageCache, request: StageRequest, claim: Claim) -> None:
        self._cache, self._request, self._claim = cache, request, claim
        self.wanted = {*request.keep, request.epochs}
        with cache.database.session() as session:
            self._known = stage_rows.digests(session, request.key)

    def found(self) -> list[Path]:
        epochs = _epochs(stage_folder(self._cache.root, self._request.key))
        usable = sorted((epoch for epoch in epochs if epoch <= self._request.epochs), reverse=True)
        return [stage_checkpoint(self._cache.root, self._request.key, epoch) for epoch in usable]

    def resume(self, run: StageRun, path: Path) -> None:
        if path in self._cache._distrusted:
            raise CheckpointError(f"{path}: could not be used.")
        epoch = int(path.stem)
        digest = self._known.get(epoch)
        sha256 = check_digest(path, () if digest is None else (digest,))
        run.resume(path)
        if run.epoch != epoch:
            raise CheckpointError(f"{path}: is what the stage was after {run.epoch} epochs.")
        if digest is None:  # of a worker that was killed before it wrote the row, or of an older version
            self._cache._add(self._request.key, epoch, sha256, kept=epoch in self.wanted)

    def set_aside(self, path: Path, error: CheckpointError) -> None:
        _log.warning("A stage's checkpoint can't be used: %s", error)
        moved = set_aside(self._cache.root, path)
        stage = self._request.link.stage.name
        message = told(error, moved, f"{stage} is run again from the checkpoint before it.")

        def step(session: Session) -> None:
            stage_rows.forget_checkpoint(session, self._request.key, int(path.stem))
            number = slot_rows.optuna_number(session, self._claim.slot_id)
            event_rows.add_event(session, self._claim.study_id, "damaged", message, trial=number)

        transact(self._cache.database, step)
        self._cache._distrusted.discard(path)

    def keep(self, run: StageRun, before: int) -> None:
        self._cache._save(run, self._request.key, self.wanted)
        self._cache._drop(self._request.key, before, self.wanted)


def evict(database: Database, root: Path, bound: float) -> int:
    """Delete checkpoints until they take at most ``bound`` bytes: the least recently used first, none in use.

    Returns:
        The bytes freed.
    """
    with database.session() as session:
        unused = stage_rows.evictable(session, database.now(session))
        excess = stage_rows.total_size(session) - bound
    freed = 0
    for checkpoint in unused:
        if freed >= excess:
            break
        with database.transaction() as session:
            # Somebody may have begun to use it since.
            free = stage_rows.forget_unused(session, database.now(session), checkpoint.stage_key, checkpoint.epoch)
        if free:
            stage_checkpoint(root, checkpoint.stage_key, checkpoint.epoch).unlink(missing_ok=True)
            freed += checkpoint.size
    return freed


def _delete(database: Database, root: Path, key: str, epoch: int) -> None:
    with database.transaction() as session:
        stage_rows.forget_checkpoint(session, key, epoch)
    stage_checkpoint(root, key, epoch).unlink(missing_ok=True)


def _epochs(folder: Path) -> set[int]:
    return {int(path.stem) for path in folder.glob("*.pth") if path.stem.isdecimal()}
