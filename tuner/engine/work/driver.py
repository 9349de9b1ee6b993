"""The one way in which a worker runs a stage: gone on with from the state that was kept, an epoch at a time.

Shared stages, trials' own ones and those that are trained again differ in where their states are kept (:class:`States`)
and in what is recorded of an epoch. Whatever was interrupted or damaged on the way, a stage ends with the same bits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from model.errors import CheckpointError
from model.run import EpochReport, StageRun
from tuner.engine.files.integrity import require_damage
from tuner.engine.work.lease import Interrupted, Interruption, LeaseKeeper

_log = logging.getLogger(__name__)

# Called with the epoch (from 1), the part of it that is done, and the loss so far.
Watch = Callable[[int, float, float], None]


class States(Protocol):
    """Where the states of a stage are kept, to go on from."""

    def found(self) -> Sequence[Path]:
        """The files that are there, the one that got furthest first."""

    def resume(self, run: StageRun, path: Path) -> None:
        """Let a run that has not begun go on from a file.

        Raises:
            CheckpointError: it is not as it was written, or not of this stage.
        """

    def set_aside(self, path: Path, error: CheckpointError) -> None:
        """Move a damaged file out of the way, and tell people."""

    def keep(self, run: StageRun, before: int) -> None:
        """Write the state of the run; ``before`` is the epoch of the one that was kept last."""


def resumed(states: States, fresh: Callable[[], StageRun]) -> StageRun | None:
    """The run as it was left, None when nothing that can be used is left of it.

    Args:
        fresh: makes a run that has not begun.

    Raises:
        OSError: a file can't be read just now.
    """
    for path in states.found():
        run = fresh()
        try:
            states.resume(run, path)
        except CheckpointError as error:
            require_damage(error)
            states.set_aside(path, error)
        else:
            return run
    return None


def started_from(before: Path, fresh: Callable[[Path], StageRun], distrust: Callable[[Path], None]) -> StageRun | None:
    """A run at its beginning with the weights of the stage before; None when its checkpoint can't be used.

    Args:
        before: that checkpoint.
        distrust: is told that it can't.

    Raises:
        OSError: it can't be read just now.
    """
    try:
        return fresh(before)
    except CheckpointError as error:
        require_damage(error)
        _log.warning("A shared checkpoint can't be used and is computed again: %s", error)
        distrust(before)
        return None


class Driver:
    """Runs the epochs that are left of a stage.

    Args:
        run: stands where its state was kept last, or at its beginning.
        keep: keeps its state, see :meth:`States.keep`.
        every: epochs between two states that are kept. The last one's is in any case.
        wanted: other epochs whose states are.
        until: the last epoch to be run, the stage's own by default.
    """

    def __init__(
        self,
        run: StageRun,
        keeper: LeaseKeeper,
        keep: Callable[[StageRun, int], None],
        watch: Watch,
        *,
        every: int = 1,
        wanted: Collection[int] = (),
        until: int | None = None,
    ) -> None:
        self.run, self._keeper, self._keep, self._watch = run, keeper, keep, watch
        self._every, self._wanted, self._until = every, wanted, run.epochs if until is None else until
        self._kept = run.epoch

    @property
    def finished(self) -> bool:
        """Whether no epoch is left to run."""
        return self.run.finished or self.run.epoch >= self._until

    def epochs(self) -> Iterator[EpochReport]:
        """Run one epoch after the other, and give each one's report before its state is kept.

        So who records the report is killed with nothing lost: the epoch is repeated with the same bits.

        Raises:
            Interrupted, StageLost: see :meth:`LeaseKeeper.check`. A worker that is stopped in order loses no epoch.
        """
        while not self.finished:
            self._check()
            yield self.run.run_epoch(self._show, self._keeper.check)
            epoch = self.run.epoch
            if self.finished or epoch in self._wanted or epoch - self._kept >= self._every:
                self.keep()

    def keep(self) -> None:
        """Keep the state of the run, unless it is."""
        if self.run.epoch > self._kept:
            self._keep(self.run, self._kept)
            self._kept = self.run.epoch

    def _check(self) -> None:
        try:
            self._keeper.check(between_epochs=True)
        except Interrupted as interrupted:
            if interrupted.why is Interruption.SHUTDOWN:
                self.keep()
            raise

    def _show(self, fraction: float, loss: float) -> None:
        self._keeper.check()
        self._watch(self.run.epoch + 1, fraction, loss)
