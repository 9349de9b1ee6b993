"""Figures: from the trials in the database, bounded, and never an exception for want of data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import sqlalchemy as sa

from tuner import insight
from tuner.insight import figures, series
from tuner.store import Database
from tuner.store.tables import Epoch, StageEpoch

if TYPE_CHECKING:
    from tests.tuner.insight.conftest import Filled


def test_history_has_values_best_and_baseline(filled: Filled) -> None:
    traces = {trace.name: trace for trace in figures.optimization_history(filled.database, "study").data}
    assert dict(zip(traces["trial"].x, traces["trial"].y, strict=True)) == filled.values
    assert list(traces["best so far"].y)[:6] == [0.03, 0.05, 0.05, 0.05, 0.05, 0.05]
    assert list(traces["pruned"].x) == [6]
    assert set(traces["Popularity 0.0200"].y) == {0.02}


def test_thinning_keeps_every_improvement() -> None:
    best = np.maximum.accumulate(np.random.default_rng(1).normal(size=20_000))
    keep = series._thinned(best)
    assert len(keep) <= series.MOST_POINTS
    assert set(np.flatnonzero(np.diff(best) != 0) + 1) <= set(keep)


# Six trials are too few for importances: test_importance.py has more.
@pytest.mark.parametrize("name", sorted(figures.FIGURES.keys() - {"parameter_importance"}))
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_figure_of_a_study(filled: Filled, name: str, theme: str) -> None:
    figure = figures.FIGURES[name](filled.database, "study", theme)
    assert figure.data
    assert len(figure.to_json()) < 300_000


@pytest.mark.parametrize("name", sorted(figures.FIGURES))
def test_an_empty_study_gives_a_note(empty: Database, name: str) -> None:
    figure = figures.FIGURES[name](empty, "empty", "light")
    assert not figure.data
    assert figure.layout.annotations[0].text


def test_learning_curves_put_the_best_trial_last(filled: Filled) -> None:
    traces = figures.learning_curves(filled.database, "study").data
    assert traces[-1].name == "trial 1 (best)"
    assert "trial 8" in [trace.name for trace in traces]  # the running one


def test_curves_of_a_trial(filled: Filled) -> None:
    trial = insight.get_trial(filled.database, "study", 0)
    assert list(figures.trial_loss(trial, "pretrain").data[0].y) == [10.0, 5.0]
    assert list(figures.trial_scores(trial, prefix="ndcg").data[0].y) == [0.01, 0.02, 0.03]


def test_a_loss_of_an_earlier_version_is_not_drawn_among_means(filled: Filled) -> None:
    with filled.database.transaction() as session:
        session.execute(sa.update(Epoch).where(Epoch.epoch == 1).values(mean_loss=None))
        session.execute(sa.update(StageEpoch).values(mean_loss=None))
    trial = insight.get_trial(filled.database, "study", 0)
    assert list(figures.trial_loss(trial, "finetune").data[0].x) == [2, 3]
    assert figures.trial_loss(trial, "finetune").layout.yaxis.title.text == "loss, mean per sample"
    assert "before the mean loss" in figures.trial_loss(trial, "pretrain").layout.annotations[0].text
    shared = figures.pretraining_curves(filled.database, "study")
    assert not shared.data
    assert "before the mean loss" in shared.layout.annotations[0].text
