"""Asking samplers: what they are shown decides alone, and every sampler learns from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.engine.search import samplers
from tuner.engine.search.asks import Asker, Sight, as_ranges, from_ranges, look
from tuner.space import SearchSpace, SpaceParameter
from tuner.specification import SamplerSpecification, StudySpecification

MIXED = SearchSpace(
    (
        SpaceParameter("rate", "loguniform", low=-7.0, high=0.0),
        SpaceParameter("size", "quniform", low=8.0, high=64.0, q=8.0),
        SpaceParameter("dropout", "uniform", low=0.0, high=0.5),
        SpaceParameter("loss", "choice", ("BPR", "CE")),
    )
)
NAMES = ["random", "tpe", "gp", "cmaes", "qmc"]
OPTIONS: dict[str, dict[str, Any]] = {
    "tpe": {"n_startup_trials": 3},
    "gp": {"n_startup_trials": 3},
    "cmaes": {"n_startup_trials": 1, "popsize": 4},
}


def make_asker(name: str, pruner: BasePruner | None = None) -> Asker:
    sampler = SamplerSpecification.model_validate({"name": name, "options": OPTIONS.get(name, {})})
    specification = StudySpecification(name="s", model="S3Rec", dataset="d", space=MIXED.to_json(), sampler=sampler)
    record = samplers.choose(specification, MIXED).record
    return Asker("s", StudyDirection.MAXIMIZE, record, pruner or NopPruner(), MIXED.distributions(), 7)


def value(params: dict[str, Any]) -> float:
    """Best at dropout 0.1, size 48, loss CE; what the rate is does not matter."""
    return float(-abs(params["dropout"] - 0.1) - abs(params["size"] - 48) / 100 - (params["loss"] == "BPR"))


def run(asker: Asker, trials: int, workers: int = 1) -> list[FrozenTrial]:
    """A study in which ``workers`` trials run at any time, and the first to start is the first to end."""
    done: list[FrozenTrial] = []
    for number in range(trials):
        for started in done[: max(0, number - workers + 1)]:
            if started.state is TrialState.RUNNING:
                started.state, started.values = TrialState.COMPLETE, [value(started.params)]
        sight = look(done, number, MIXED.names)
        answer = asker.ask(number, sight, done)
        trial = create_trial(
            state=TrialState.RUNNING,
            params=answer.params,
            distributions=dict(asker.distributions),
            user_attrs=sight.attributes,
            system_attrs=answer.notes,
        )
        trial.number = number
        done.append(trial)
    return done


def repeated(asker: Asker, trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    found = []
    for trial in trials:
        sight = Sight.recorded(trial)
        assert sight is not None
        found.append(asker.ask(trial.number, sight, trials).params)
    return found


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_asks_can_be_repeated_when_the_study_is_long_over(name: str, workers: int) -> None:
    asker = make_asker(name)
    trials = run(asker, 7 if name == "gp" else 12, workers)
    assert repeated(asker, trials) == [trial.params for trial in trials]
    assert len({str(trial.params) for trial in trials}) > len(trials) // 2
    for trial in trials:
        MIXED.values(trial.params)  # every parameter, within its range


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes"])
def test_samplers_choose_by_what_they_are_shown(name: str) -> None:
    asker = make_asker(name)
    trials = run(asker, 6)
    everything = look(trials, 6, MIXED.names)
    assert asker.ask(6, everything, trials).params != asker.ask(6, Sight(frozenset()), trials).params


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_what_others_are_trying_is_not_tried_again(name: str) -> None:
    asker = make_asker(name)
    trials = run(asker, 6)
    done = frozenset(range(5))
    alone = asker.ask(6, Sight(done), trials).params
    trials[5].params = alone
    assert asker.ask(6, Sight(done, frozenset({5})), trials).params != alone


def test_a_sequence_gives_every_trial_a_point_of_its_own() -> None:
    asker = make_asker("qmc")
    first = [trial.params for trial in run(asker, 8)]
    assert len({params["dropout"] for params in first}) == 8
    # Eight points of a Sobol sequence fill all four quarters of a parameter; trial 0 was drawn at random.
    assert {int(params["dropout"] / 0.125) for params in first[1:]} == {0, 1, 2, 3}


def test_hyperbands_brackets_stay_apart() -> None:
    asker = make_asker("tpe", HyperbandPruner(max_resource=9))
    trials = run(asker, 12)
    assert repeated(asker, trials) == [trial.params for trial in trials]


def test_a_trial_that_waits_at_a_rung_counts_as_pruned_there() -> None:
    asker = make_asker("tpe")
    trials = run(asker, 8)
    waiting = trials[7]
    waiting.intermediate_values = {1: 0.1, 2: 0.2}
    sight = look(trials[:8], 9, MIXED.names, {7: 1})
    assert (7 in sight.running, sight.reached) == (False, {7: 1})
    before = asker.ask(9, sight, trials).params
    waiting.state, waiting.values, waiting.intermediate_values = TrialState.COMPLETE, [9.0], {1: 0.1, 2: 0.2, 3: 9.0}
    assert asker.ask(9, sight, trials).params == before


def test_confirmations_and_trials_without_parameters_are_not_shown() -> None:
    trials = run(make_asker("random"), 4)
    trials[1].user_attrs = {"confirms": 0}
    trials[2].state, trials[2].values, trials[2].params = TrialState.RUNNING, None, {}
    trials[3].state = TrialState.FAIL
    assert look(trials, 9, MIXED.names) == Sight(frozenset({0}))


@pytest.mark.parametrize("numbers", [[], [0], [0, 1, 2, 5, 7, 8]])
def test_ranges_are_read_as_they_were_written(numbers: list[int]) -> None:
    assert from_ranges(as_ranges(numbers)) == frozenset(numbers)
