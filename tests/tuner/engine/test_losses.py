"""Trials that kill their worker: what counts as getting on, and when they are given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from model.run import StageRun
from tuner.engine.course.sweep import sweep
from tuner.engine.work.entry import run_worker
from tuner.settings import Settings
from tuner.store import Database, TrialState
from tuner.store.tables import SharedStage, Slot, StageEpoch

Create = Callable[..., int]


class Killed(BaseException):
    """Ends a worker where it is; it writes nothing of its trial any more."""


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Stages and epochs (from 1) that kill whoever runs them."""
    places: list[tuple[str, int]] = []
    run_epoch = StageRun.run_epoch

    def run(self: StageRun, *arguments: Any) -> Any:
        if (self.stage, self.epoch + 1) in places:
            raise Killed
        return run_epoch(self, *arguments)

    monkeypatch.setattr(StageRun, "run_epoch", run)
    return places


def die(database: Database, settings: Settings) -> None:
    """Run the next trial until it kills its worker, and notice that."""
    with pytest.raises(Killed):
        run_worker(settings, exit_when_idle=True)
    with database.transaction() as session:
        session.execute(sa.update(Slot).where(Slot.state == TrialState.RUNNING).values(lease_expires=0.0))
        session.execute(sa.update(SharedStage).values(lease_expires=0.0))
    sweep(database, settings.lease_seconds)


def slots(database: Database) -> list[Slot]:
    with database.session() as session:
        return list(session.scalars(sa.select(Slot).order_by(Slot.id)))


@pytest.mark.parametrize(
    ("checkpoint_epochs", "model", "place", "furthest"),
    [
        (1, "Tiny", ("finetune", 2), 3 + 1),
        (5, "Tiny", ("finetune", 3), 3 + 2),
        (5, "Tiny", ("pretrain", 3), 2),
        (5, "Chain", ("align", 2), 3 + 1),
    ],
)
def test_a_trial_that_dies_in_the_same_epoch_each_time_is_given_up(
    database: Database,
    settings: Settings,
    create: Create,
    deadly: list[tuple[str, int]],
    checkpoint_epochs: int,
    model: str,
    place: tuple[str, int],
    furthest: int,
) -> None:
    """However many epochs before it are repeated, for they had no checkpoint."""
    settings = settings.model_copy(update={"checkpoint_epochs": checkpoint_epochs})
    create(model=model, space={"width": [4]})
    deadly.append(place)
    for attempt in range(6):
        (slot,) = slots(database)
        assert (slot.state, slot.losses) == (TrialState.WAITING, attempt)
        die(database, settings)
    (slot,) = slots(database)
    assert (slot.state, slot.furthest) == (TrialState.LOST, furthest)
    assert slot.error is not None
    assert slot.error["type"] == "WorkerLost"


def test_a_trial_that_dies_in_a_later_epoch_each_time_is_not_given_up(
    database: Database, settings: Settings, create: Create, deadly: list[tuple[str, int]]
) -> None:
    settings = settings.model_copy(update={"checkpoint_epochs": 50})
    create(space={"width": [4]}, config={"epochs": 5})
    for epoch in (1, 2, 3):
        deadly[:] = [("pretrain", epoch)]
        die(database, settings)
    for epoch in (1, 2, 3, 4, 5):
        deadly[:] = [("finetune", epoch)]
        die(database, settings)
        assert slots(database)[0].losses == 1
    deadly.clear()
    run_worker(settings, exit_when_idle=True)
    assert [(slot.state, slot.losses, slot.furthest) for slot in slots(database)] == [(TrialState.COMPLETED, 0, 8)]


def test_a_shared_stage_that_is_trained_again_is_an_advance_of_who_needs_it_next(
    database: Database,
    settings: Settings,
    create: Create,
    deadly: list[tuple[str, int]],
    forget_stages: Callable[[], None],
) -> None:
    """How far others had trained it, whose checkpoints are deleted by now, says nothing of this trial."""
    create("one", space={"width": [4]})
    run_worker(settings, exit_when_idle=True)
    for path in settings.artifacts.glob("stages/*/*.pth"):
        path.unlink()
    create("two", space={"width": [4]})
    for epoch in (2, 3):
        deadly[:] = [("pretrain", epoch)]
        die(database, settings)
        assert slots(database)[-1].losses == 1
    with database.session() as session:
        assert set(session.scalars(sa.select(StageEpoch.times_run))) == {1, 2}


def test_an_outage_after_an_advance_brings_no_loss_back(
    database: Database, settings: Settings, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that says for a moment that it is full, once in each epoch, is not what the trial does."""
    create(space={"width": [4]}, config={"pretrain_epochs": 0, "epochs": 8, "stopping_step": 20})
    monkeypatch.setattr("tuner.engine.work.outage_watch.RETRY_DELAY_SECONDS", 0.0)
    save, met = StageRun.save, set()

    def once_full(self: StageRun, *arguments: Any, **options: Any) -> str:
        found = save(self, *arguments, **options)
        if self.epoch > 0 and self.epoch not in met:
            met.add(self.epoch)
            raise OSError(28, "No space left on device")
        return found

    monkeypatch.setattr(StageRun, "save", once_full)
    run_worker(settings, exit_when_idle=True)
    assert len(met) == 8
    (slot,) = slots(database)
    assert (slot.state, slot.losses) == (TrialState.COMPLETED, 1)  # the last epoch's
