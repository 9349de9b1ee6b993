"""Files and rows of shared stages, as crashes and people leave them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from stored import Stored, store

from tuner.engine.work import stage_cache
from tuner.engine.work.entry import run_worker
from tuner.engine.work.stage_cache import StageBusy
from tuner.settings import Settings
from tuner.store import Database, TrialState
from tuner.store import stages as stage_rows
from tuner.store.states import Origin
from tuner.store.tables import Checkpoint, SharedStage, Slot, StageEpoch, Worker

Create = Callable[..., int]


@pytest.fixture
def checkpoint(database: Database, settings: Settings, create: Create) -> Path:
    """The checkpoint after the three epochs of pretraining that a first study ran."""
    create("first", space={"finetune.learning_rate": [0.01]})
    run_worker(settings, exit_when_idle=True)
    (path,) = settings.artifacts.glob("stages/*/3.pth")
    return path


def epochs_run(database: Database) -> int:
    with database.session() as session:
        return session.scalar(sa.select(sa.func.sum(StageEpoch.times_run))) or 0


def run_second(settings: Settings, create: Create) -> None:
    create("second", space={"finetune.learning_rate": [0.02]})
    run_worker(settings, exit_when_idle=True)


def test_a_damaged_checkpoint_is_computed_again(
    database: Database, settings: Settings, create: Create, checkpoint: Path
) -> None:
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    run_second(settings, create)
    assert epochs_run(database) == 6
    assert checkpoint.stat().st_size == len(whole)
    with database.session() as session:
        assert set(session.scalars(sa.select(Slot.state))) == {"completed"}


def test_a_checkpoint_that_somebody_deleted_is_computed_again(
    database: Database, settings: Settings, create: Create, checkpoint: Path
) -> None:
    checkpoint.unlink()
    run_second(settings, create)
    assert epochs_run(database) == 6


def test_a_file_whose_row_was_never_written_is_found(
    database: Database, settings: Settings, create: Create, checkpoint: Path
) -> None:
    with database.transaction() as session:
        session.execute(sa.delete(Checkpoint))
    run_second(settings, create)
    assert epochs_run(database) == 3


def test_what_a_killed_worker_left_half_written_is_removed(
    database: Database, settings: Settings, create: Create, checkpoint: Path
) -> None:
    left = checkpoint.with_name(".2.pth-abc.tmp")
    left.touch()
    checkpoint.unlink()
    run_second(settings, create)
    assert not left.exists()


def test_the_least_recently_used_goes_first(
    database: Database, settings: Settings, create: Create, checkpoint: Path
) -> None:
    create("other", space={"finetune.learning_rate": [0.01]}, config={"width": 4})
    run_worker(settings, exit_when_idle=True)
    run_second(settings, create)  # uses the first stage again
    size = checkpoint.stat().st_size
    assert stage_cache.evict(database, settings.artifacts, bound=size) > 0
    assert [path.name for path in settings.artifacts.glob("stages/*/*.pth")] == [checkpoint.name]
    assert checkpoint.exists()


@pytest.fixture
def stored(database: Database, settings: Settings, create: Create) -> Stored:
    return store(database, settings, create)


def give_stage_to_another(database: Database) -> None:
    with database.transaction() as session:
        session.add(Worker(id="other", host="h", pid=2, lease_expires=2.0**40))
        session.flush()
        session.execute(sa.update(SharedStage).values(holder="other", lease_expires=2.0**40))


def test_who_has_lost_a_stage_writes_nothing_of_it(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss is noticed after the epoch's last batch, when only the writing is left to do."""
    stored.shared.unlink()
    before = sorted(stored.root.glob("stages/*/*"))
    cache = stored.run.runner.cache
    record = cache._count

    def lose(*arguments: Any) -> None:
        record(*arguments)
        give_stage_to_another(stored.database)
        stored.run.keeper._renew()

    monkeypatch.setattr(cache, "_count", lose)
    stored.run.claim = dataclasses.replace(stored.run.claim, origin=Origin.GRID)  # one that does not wait
    with pytest.raises(StageBusy):
        stored.begun()
    assert sorted(stored.root.glob("stages/*/*")) == before


def test_only_the_holder_of_a_stage_drops_its_rows(stored: Stored) -> None:
    """Two nodes: what one of them does not see may well be there for the other."""
    stored.shared.unlink()
    give_stage_to_another(stored.database)
    stored.run.claim = dataclasses.replace(stored.run.claim, origin=Origin.GRID)
    with stored.database.session() as session:
        before = session.scalars(sa.select(Checkpoint.epoch)).all()
    with pytest.raises(StageBusy):
        stored.begun()
    with stored.database.session() as session:
        assert session.scalars(sa.select(Checkpoint.epoch)).all() == before


@pytest.mark.parametrize("use", ["runs", "is needed"])
def test_nothing_in_use_is_evicted(stored: Stored, use: str) -> None:
    database = stored.database
    stored.run._started(stored.run._config(stored.run.plan.own_stage), stored.dataset)
    if use == "runs":
        give_stage_to_another(database)
        with database.transaction() as session:
            session.execute(sa.update(Slot).values(state=TrialState.WAITING))
    assert stage_cache.evict(database, stored.root, bound=0) == 0
    assert stored.shared.exists()
    with database.transaction() as session:
        session.execute(sa.update(SharedStage).values(holder=None, lease_expires=None))
        session.execute(sa.update(Slot).values(state=TrialState.COMPLETED))
    assert stage_cache.evict(database, stored.root, bound=0) > 0
    assert not stored.shared.exists()


def test_what_somebody_began_to_use_meanwhile_is_not_evicted(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    find = stage_rows.evictable

    def begin_to_use(session: Any, now: float) -> Any:
        found = find(session, now)
        give_stage_to_another(stored.database)
        return found

    with stored.database.transaction() as session:
        session.execute(sa.update(Slot).values(state=TrialState.COMPLETED))
    monkeypatch.setattr(stage_rows, "evictable", begin_to_use)
    assert stage_cache.evict(stored.database, stored.root, bound=0) == 0
    assert stored.shared.exists()
