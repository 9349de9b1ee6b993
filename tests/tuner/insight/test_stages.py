"""Shared stages as people look at them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, update

from tuner import insight
from tuner.errors import StudyNotFound
from tuner.insight import stages
from tuner.insight.stage_tree import stage_tree
from tuner.store import Database, TrialState
from tuner.store.tables import Checkpoint, SharedStage, Slot, StageEpoch, utc_now

if TYPE_CHECKING:
    from tests.tuner.insight.conftest import Filled

KEY, OTHER = "k" * 64, "o" * 64


@pytest.fixture
def cached(filled: Filled) -> Database:
    """The study's stage with two checkpoints, and a stage of nobody's with one that is older."""
    with filled.database.transaction() as session:
        old = utc_now() - timedelta(days=2)
        session.add(SharedStage(key=OTHER, model="S3Rec", stage="pretrain", dataset="walks", used_at=old))
        session.flush()
        session.add(Checkpoint(stage_key=OTHER, epoch=9, size=500, kept=True, used_at=old))
        for epoch, kept in ((2, True), (3, False)):
            session.add(Checkpoint(stage_key=KEY, epoch=epoch, size=100 * epoch, kept=kept))
        session.execute(update(StageEpoch).where(StageEpoch.epoch == 3).values(times_run=3))
    return filled.database


def test_a_study_shows_the_stages_that_its_trials_share(cached: Database) -> None:
    (stage,) = insight.list_stages(cached, "study").items
    assert (stage.key, stage.epochs, stage.repeated, stage.seconds) == (KEY, 3, 2, 6.0)
    assert [(file.epoch, file.size, file.kept) for file in stage.checkpoints] == [(2, 200, True), (3, 300, False)]
    assert stage.size == 500
    assert stage.trials_total == 9
    assert {trial.epochs for trial in stage.trials} == {2}


def test_running_trials_come_first_then_the_best(cached: Database) -> None:
    (stage,) = insight.list_stages(cached, "study").items
    assert [trial.number for trial in stage.trials[:3]] == [8, 1, 3]
    assert stage.trials[0].state == "running"
    assert stage.trials[1].value == 0.05


def test_the_installation_shows_all_stages_the_last_used_first(cached: Database) -> None:
    page = insight.list_stages(cached)
    assert [stage.key for stage in page.items] == [KEY, OTHER]
    assert [stage.in_use for stage in page.items] == [True, False]
    assert insight.list_stages(cached, offset=1).items == page.items[1:]
    assert page.total == 2


def test_a_stage_that_somebody_trains_says_how_far(cached: Database) -> None:
    with cached.transaction() as session:
        later = cached.now(session) + 60
        session.execute(
            update(SharedStage).where(SharedStage.key == OTHER).values(holder="w", lease_expires=later, target_epoch=20)
        )
    stage = insight.list_stages(cached).items[1]
    assert (stage.target, stage.in_use) == (20, True)


def test_what_the_cache_takes_and_what_of_it_may_go(cached: Database) -> None:
    assert insight.cache_use(cached) == insight.CacheUse(stages=2, checkpoints=3, size=1000, evictable=500)
    with cached.transaction() as session:
        session.execute(update(Slot).where(Slot.state == TrialState.RUNNING).values(state=TrialState.COMPLETED))
    assert insight.cache_use(cached).evictable == 1000


def test_a_study_that_is_not_there(cached: Database) -> None:
    with pytest.raises(StudyNotFound):
        insight.list_stages(cached, "nothing")


def test_the_tree_has_a_leaf_for_every_trial_at_the_epoch_where_it_begins(cached: Database) -> None:
    figure = stage_tree(cached, "study")
    leaves = figure.data[-1]
    assert [text.partition(" ·")[0] for text in leaves.text] == [f"trial {number}" for number in range(9)]
    forks = next(trace for trace in figure.data if trace.mode == "markers")
    assert (list(forks.x), list(forks.customdata)) == ([2], [9])
    trunk = next(trace for trace in figure.data if trace.line.width == 4)
    assert max(trunk.x) == 3


def test_the_tree_counts_what_it_has_no_room_for(cached: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.insight.stage_tree._MOST_LEAVES", 4)
    leaves = stage_tree(cached, "study").data[-1]
    assert leaves.text[-1] == "and 5 more trials"
    assert len(leaves.text) == 5


def test_no_branch_of_the_tree_crosses_another(cached: Database) -> None:
    with cached.transaction() as session:
        for number in range(9):
            session.execute(update(Slot).where(Slot.optuna_number == number).values(stage_epochs=1 + number % 3))
    figure = stage_tree(cached, "study")
    branches = next(trace for trace in figure.data if trace.hoverinfo == "skip")
    # A branch leaves the trunk downwards at x; those further down must leave it further left.
    leaving = list(branches.x[::4])
    assert leaving == sorted(leaving, reverse=True)


def test_more_stages_than_fit_are_counted(cached: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with cached.transaction() as session:
        session.execute(update(Slot).where(Slot.optuna_number == 0).values(stage_key=OTHER))
        session.execute(delete(Checkpoint).where(Checkpoint.stage_key == OTHER))
    monkeypatch.setattr("tuner.insight.stage_tree._MOST_STAGES", 1)
    figure = stage_tree(cached, "study")
    assert "and 1 more" in figure.layout.annotations[0].text
    assert stages.list_stages(cached, "study").total == 2
