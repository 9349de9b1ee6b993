"""Importances: exact for a complete grid, estimated with a range otherwise, and never a number that means nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import optuna
import pytest

from tests.tuner.insight.conftest import add_study
from tuner.insight import figures, importance
from tuner.insight.evidence import EVALUATORS, FEWEST_TRIALS
from tuner.insight.importance import importances
from tuner.insight.kept_importance import ImportanceKeeper
from tuner.insight.summaries import Effect
from tuner.store import Database, TrialState
from tuner.store.states import Origin
from tuner.store.tables import Slot

GRID = "a choice [0, 1]\nb choice [0, 1]\nc choice [0, 1]\n"
CONTINUOUS = "decides uniform 0,1\nhardly uniform 0,1\n"
Value = Callable[[dict[str, Any]], float]


def add_trials(database: Database, name: str, text: str, params: Iterable[dict[str, Any]], value: Value) -> int:
    """Completed trials of a study, made if it is not there; returns its id."""
    try:
        study = optuna.load_study(study_name=name, storage=database.storage)
    except KeyError:
        add_study(database, name, text)
        study = optuna.load_study(study_name=name, storage=database.storage)
    distributions = importance.SearchSpace.from_json(_specification(database, name)["space"]).distributions()
    with database.session() as session:
        ours = importance.study_rows.find_study(session, name).id
    for chosen in params:
        number = len(study.trials)
        study.add_trial(
            optuna.trial.create_trial(params=chosen, distributions=distributions, value=float(value(chosen)))
        )
        slot = Slot(study_id=ours, ordinal=number, origin=Origin.SAMPLED, optuna_number=number)
        slot.state = TrialState.COMPLETED
        with database.transaction() as session:
            session.add(slot)
    return ours


def _specification(database: Database, name: str) -> dict[str, Any]:
    with database.session() as session:
        return importance.study_rows.find_study(session, name).specification


def combinations(count: int = 8) -> list[dict[str, int]]:
    return [dict(zip("abc", levels, strict=True)) for levels in itertools.product([0, 1], repeat=3)][:count]


def points(count: int) -> list[dict[str, float]]:
    random = np.random.default_rng(0)
    return [{"decides": random.uniform(), "hardly": random.uniform()} for _ in range(count)]


def shares(effects: Iterable[Effect]) -> dict[str, float]:
    return {effect.label: effect.share for effect in effects}


def test_a_complete_grid_is_analysed_exactly_with_its_interactions(database: Database) -> None:
    """In contrasts of ±1, the value 3a + 2b + ab + abc varies by 9 + 4 + 1 + 1."""

    def value(chosen: dict[str, Any]) -> float:
        a, b, c = (2 * chosen[name] - 1 for name in "abc")
        return float(3 * a + 2 * b + a * b + a * b * c)

    add_trials(database, "grid", GRID, combinations(), value)
    found = importances(database, "grid")
    assert (found.evaluator, found.trials, found.reason) == ("exact", 8, None)
    assert found.method == "exact analysis of variance of all 8 combinations"
    wanted = {"a": 9 / 15, "b": 4 / 15, "c": 0, "a × b": 1 / 15, "a × c": 0, "b × c": 0}
    assert shares(found.effects) == pytest.approx(wanted, abs=1e-12)
    assert found.rest == pytest.approx(1 / 15)
    assert all(effect.low is None for effect in found.effects)


def test_a_grid_with_a_combination_missing_is_no_grid(database: Database) -> None:
    add_trials(database, "grid", GRID, combinations(7), lambda chosen: chosen["a"])
    found = importances(database, "grid")
    assert (found.effects, found.reason) == ((), "too few trials (7 of 8)")


def test_as_many_trials_as_combinations_with_one_of_them_twice_are_no_grid(database: Database) -> None:
    add_trials(database, "grid", GRID, [*combinations(7), *combinations(1)], lambda chosen: chosen["a"])
    found = importances(database, "grid")
    assert (found.effects, found.reason) == ((), f"too few trials (8 of {FEWEST_TRIALS})")


def test_an_estimate_has_a_range_and_says_how_and_from_how_many(database: Database) -> None:
    add_trials(database, "some", CONTINUOUS, points(24), lambda chosen: chosen["decides"] + 0.1 * chosen["hardly"])
    found = importances(database, "some")
    assert (found.evaluator, found.trials) == ("fanova", 24)
    assert "64 trees on 24 trials" in found.method
    first, second = found.effects
    assert (first.label, second.label) == ("decides", "hardly")
    for effect in found.effects:
        assert effect.low is not None
        assert effect.high is not None
        assert 0 <= effect.low < effect.high <= 1
        assert effect.low <= effect.share <= effect.high
    assert found.rest == pytest.approx(1 - first.share - second.share)
    assert importances(database, "some") == found


@pytest.mark.parametrize("evaluator", ["ped_anova", "mean_decrease_impurity"])
def test_other_evaluators_say_what_their_numbers_are(database: Database, evaluator: str) -> None:
    add_trials(database, "some", CONTINUOUS, points(24), lambda chosen: chosen["decides"])
    found = importances(database, "some", evaluator)
    assert found.effects[0].label == "decides"
    assert sum(shares(found.effects).values()) == pytest.approx(1)
    assert "made to add up to 100 %" in found.method
    assert found.rest is None


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_too_few_trials_give_no_number(database: Database, evaluator: str) -> None:
    add_trials(database, "some", CONTINUOUS, points(19), lambda chosen: chosen["decides"])
    found = importances(database, "some", evaluator)
    assert (found.effects, found.reason) == ((), "too few trials (19 of 20)")


def test_of_many_trials_an_even_choice_is_looked_at(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "MOST_TRIALS", 20)
    add_trials(database, "some", CONTINUOUS, points(40), lambda chosen: chosen["decides"])
    found = importances(database, "some")
    assert (found.trials, found.completed) == (20, 40)
    assert "20 of 40 trials" in found.method


def test_an_unknown_evaluator_is_refused_with_the_known_ones(database: Database) -> None:
    with pytest.raises(ValueError, match=r"no evaluator 'tarot'.*fanova"):
        importances(database, "some", "tarot")


def test_what_is_kept_is_found_once_for_all_who_ask(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[str | int] = []

    def counted(*arguments: Any) -> importance.Importances:
        computed.append(arguments[1])
        return importances(*arguments)

    monkeypatch.setattr("tuner.insight.kept_importance.importances", counted)
    add_trials(database, "grid", GRID, combinations(), lambda chosen: chosen["a"])
    keeper = ImportanceKeeper()
    first = keeper.get(database, "grid")
    assert (first.pending, first.effects, first.reason) == (True, (), "being computed")
    keeper.wait()
    assert [keeper.get(database, "grid") for _ in range(3)] == [importances(database, "grid")] * 3
    assert len(computed) == 1


def test_what_is_kept_is_found_again_when_the_study_has_grown(database: Database) -> None:
    def value(chosen: dict[str, Any]) -> float:
        return float(chosen["decides"])

    add_trials(database, "some", CONTINUOUS, points(20), value)
    keeper = ImportanceKeeper()
    keeper.get(database, "some")
    keeper.wait()
    add_trials(database, "some", CONTINUOUS, points(1), value)
    assert (keeper.get(database, "some").trials, keeper.get(database, "some").pending) == (20, False)
    add_trials(database, "some", CONTINUOUS, points(1), value)
    earlier = keeper.get(database, "some")
    assert (earlier.trials, earlier.pending) == (20, True)
    keeper.wait()
    assert (keeper.get(database, "some").trials, keeper.get(database, "some").pending) == (22, False)


def test_the_figure_has_a_bar_for_each_part_and_the_ranges(database: Database) -> None:
    add_trials(database, "grid", GRID, combinations(), lambda chosen: chosen["a"] + chosen["a"] * chosen["b"])
    (bars,) = figures.importance_bars(importances(database, "grid"), "grid").data
    assert list(bars.y)[::-1] == ["a", "b", "c", "a × b", "a × c", "b × c", "the rest"]
    assert bars.error_x.array is None
    add_trials(database, "some", CONTINUOUS, points(24), lambda chosen: chosen["decides"])
    (bars,) = figures.importance_bars(importances(database, "some"), "some").data
    assert list(bars.y)[::-1] == ["decides", "hardly", "together"]
    assert len(bars.error_x.array) == 3
