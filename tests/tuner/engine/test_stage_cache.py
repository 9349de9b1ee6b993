"""Files and rows of shared stages, as crashes and people leave them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from tuner.engine import stage_cache
from tuner.engine.worker import run_worker
from tuner.settings import Settings
from tuner.store import Database
from tuner.store.tables import Checkpoint, Slot, StageEpoch

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
