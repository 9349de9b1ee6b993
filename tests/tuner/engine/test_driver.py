"""A stage's epochs on a worker: where it stops, what is kept of it, and what it goes on from."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.data import load_dataset
from model.errors import CheckpointError, CheckpointUnreadable
from model.run import StageRun, start_run
from tuner.engine.plan import make_plan
from tuner.engine.work.driver import Driver, resumed, started_from
from tuner.engine.work.lease import Interrupted, Interruption, LeaseKeeper
from tuner.settings import Settings
from tuner.store import Database, StudyState

EPOCHS = 5
Fresh = Callable[..., StageRun]


class Folder:
    """States as the engine keeps them, one file an epoch, without its tables."""

    def __init__(self, path: Path) -> None:
        self.path, self.moved, self.kept = path, [], []

    def found(self) -> list[Path]:
        return sorted(self.path.glob("*.pth"), reverse=True)

    def resume(self, run: StageRun, path: Path) -> None:
        run.resume(path)

    def set_aside(self, path: Path, error: CheckpointError) -> None:
        path.unlink()
        self.moved.append(path.name)

    def keep(self, run: StageRun, before: int) -> None:
        run.save(self.path / f"{run.epoch}.pth")
        self.kept.append((before, run.epoch))


@pytest.fixture
def fresh(settings: Settings, specification: Callable[..., Any]) -> Fresh:
    plan = make_plan(specification(config={"epochs": EPOCHS}))
    config = plan.stage_config(plan.own_stage, {"finetune.learning_rate": 0.1})
    dataset = load_dataset(config)
    return lambda initial=None: start_run(plan.definition, plan.own_stage.name, config, dataset, initial=initial)


@pytest.fixture
def keeper(database: Database) -> LeaseKeeper:
    return LeaseKeeper(database, "w", 60.0)


@pytest.fixture
def states(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def drive(
    run: StageRun, keeper: LeaseKeeper, states: Folder, record: Callable[[int], object] = int, **options: Any
) -> list[tuple[int, float | None]]:
    """Run all epochs; ``record`` is called after each of them, before it is kept."""
    driver, found = Driver(run, keeper, states.keep, lambda *_: None, **options), []
    for report in driver.epochs():
        found.append((report.epoch, report.valid_score))
        record(report.epoch)
    return found


def test_states_are_kept_every_few_epochs_at_the_end_and_where_they_are_wanted(
    fresh: Fresh, keeper: LeaseKeeper, states: Folder
) -> None:
    drive(fresh(), keeper, states, every=3, wanted={2})
    assert states.kept == [(0, 2), (2, 5)]


def test_who_is_stopped_in_order_loses_no_epoch(fresh: Fresh, keeper: LeaseKeeper, states: Folder) -> None:
    with pytest.raises(Interrupted, match=Interruption.SHUTDOWN.value):
        drive(fresh(), keeper, states, lambda epoch: epoch == 2 and keeper.ask_to_stop(), every=100)
    assert states.kept == [(0, 2)]


def test_who_must_let_go_of_its_trial_keeps_nothing(fresh: Fresh, keeper: LeaseKeeper, states: Folder) -> None:
    with pytest.raises(Interrupted, match=Interruption.CANCELLED.value):
        drive(fresh(), keeper, states, lambda epoch: epoch == 2 and keeper.note_state(StudyState.CANCELLED), every=100)
    assert states.kept == []


def test_an_epoch_that_was_recorded_but_not_kept_is_repeated_with_the_same_bits(
    fresh: Fresh, keeper: LeaseKeeper, states: Folder, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    wanted = drive(fresh(), keeper, Folder(tmp_path / "whole"))
    recorded = []
    for report in Driver(fresh(), keeper, states.keep, lambda *_: None).epochs():
        recorded.append((report.epoch, report.valid_score))
        if report.epoch == 3:
            break  # as if it were killed here
    run = resumed(states, fresh)
    assert run is not None
    assert run.epoch == 2
    assert recorded == wanted[:3]
    assert drive(run, keeper, states) == wanted[2:]


def test_a_damaged_state_is_set_aside_and_the_one_before_it_taken(
    fresh: Fresh, keeper: LeaseKeeper, states: Folder
) -> None:
    drive(fresh(), keeper, states, until=3)
    for name in ("3.pth", "2.pth"):
        (states.path / name).write_bytes(b"of another program")
    run = resumed(states, fresh)
    assert states.moved == ["3.pth", "2.pth"]
    assert run is not None
    assert run.epoch == 1


def test_nothing_is_left_of_a_stage_whose_states_are_all_damaged(fresh: Fresh, states: Folder) -> None:
    (states.path / "1.pth").touch()
    assert resumed(states, fresh) is None
    assert states.moved == ["1.pth"]


def test_a_disk_that_is_away_for_a_moment_is_no_damage(fresh: Fresh, states: Folder) -> None:
    def away(*_: object) -> Any:
        raise CheckpointUnreadable("1.pth: can't be read.") from OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    (states.path / "1.pth").touch()
    states.resume = away  # type: ignore[method-assign]
    with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
        resumed(states, fresh)
    with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
        started_from(states.path / "1.pth", away, lambda path: pytest.fail(f"{path} is distrusted"))
    assert states.moved == []


def test_what_a_stage_begins_from_is_distrusted_when_it_is_damaged(fresh: Fresh, tmp_path: Path) -> None:
    path, distrusted = tmp_path / "3.pth", []
    path.touch()
    assert started_from(path, fresh, distrusted.append) is None
    assert distrusted == [path]


def test_no_more_epochs_are_run_than_are_wanted(fresh: Fresh, keeper: LeaseKeeper, states: Folder) -> None:
    assert [epoch for epoch, _ in drive(fresh(), keeper, states, until=2)] == [1, 2]
    run = resumed(states, fresh)
    assert run is not None
    assert drive(run, keeper, states, until=2) == []
