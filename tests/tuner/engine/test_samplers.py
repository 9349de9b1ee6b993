from __future__ import annotations

from collections import Counter
from typing import Any

import optuna
import pytest
from optuna.pruners import NopPruner
from optuna.study import StudyDirection

from tuner.engine.search import pruners, samplers
from tuner.engine.search.asks import Asker, Sight
from tuner.errors import SpecificationError
from tuner.space import SearchSpace, SpaceParameter
from tuner.specification import PrunerSpecification, SamplerSpecification, StudySpecification

FINITE = SearchSpace((SpaceParameter("a", "choice", (1, 2, 3)),))
ENDLESS = SearchSpace((SpaceParameter("a", "uniform", low=0.0, high=1.0),))
HUGE = SearchSpace((SpaceParameter("a", "quniform", low=0.0, high=1e6, q=1.0),))


def choose(space: SearchSpace, sampler: str = "auto", max_trials: int | None = None, **options: Any) -> samplers.Choice:
    chosen = SamplerSpecification.model_validate({"name": sampler, "options": options})
    specification = StudySpecification(
        name="s", model="S3Rec", dataset="d", space=space.to_json(), sampler=chosen, max_trials=max_trials
    )
    return samplers.choose(specification, space)


@pytest.mark.parametrize(
    ("space", "max_trials", "name", "budget"),
    [
        (FINITE, None, "exhaustive", 3),
        (FINITE, 10, "exhaustive", 3),
        (FINITE, 2, "tpe", 2),
        (ENDLESS, None, "tpe", 100),
        (ENDLESS, 7, "tpe", 7),
        (HUGE, None, "tpe", 100),
        (SearchSpace(()), None, "exhaustive", 1),
    ],
)
def test_auto_is_exhaustive_where_all_combinations_will_be_tried(
    space: SearchSpace, max_trials: int | None, name: str, budget: int
) -> None:
    choice = choose(space, max_trials=max_trials)
    assert (choice.name, choice.max_trials) == (name, budget)


def test_an_exhaustive_search_of_a_huge_space_is_refused() -> None:
    with pytest.raises(SpecificationError, match="1000001 combinations"):
        choose(HUGE, "exhaustive")


def test_an_unknown_option_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(SpecificationError, match=r"no option popsise\. It has n_startup_trials, sigma0, popsize"):
        choose(ENDLESS, "cmaes", popsise=4)


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_a_trials_parameters_depend_on_seed_and_number_alone(name: str) -> None:
    record = choose(ENDLESS, name).record

    def ask(seed: int, number: int) -> float:
        study = optuna.create_study(sampler=samplers.build(record, seed, number))
        return float(study.ask(ENDLESS.distributions()).params["a"])

    assert ask(1, 5) == ask(1, 5)
    assert len({ask(1, 5), ask(1, 6), ask(2, 5)}) == 3


def draws(space: SearchSpace, record: dict[str, Any], count: int = 3000) -> Counter[float]:
    """How often each value of ``a`` is drawn, as the engine asks: every trial with a sampler of its own."""
    asker = Asker("s", StudyDirection.MAXIMIZE, record, NopPruner(), space.distributions(), 7)
    answers = (asker.ask(number, Sight(frozenset()), ()).params for number in range(count))
    return Counter(space.values(params)["a"] for params in answers)


# Expected chances are hyperopt's: those of round(uniform(low, high) / q) * q.
@pytest.mark.parametrize(
    ("low", "high", "q", "chances"),
    [
        (1.0, 4.0, 1.0, {1: 1 / 6, 2: 1 / 3, 3: 1 / 3, 4: 1 / 6}),
        (0.5, 3.5, 1.0, {1: 1 / 3, 2: 1 / 3, 3: 1 / 3}),
        (0.05, 0.35, 0.1, {0.1: 1 / 3, 0.2: 1 / 3, 3 * 0.1: 1 / 3}),
        (0.3, 1.0, 1.0, {0: 2 / 7, 1: 5 / 7}),
    ],
)
def test_a_random_search_draws_a_quniform_as_recbole_does(
    low: float, high: float, q: float, chances: dict[float, float]
) -> None:
    space = SearchSpace((SpaceParameter("a", "quniform", low=low, high=high, q=q),))
    count = 3000
    drawn = draws(space, choose(space, "random", 5).record, count)
    assert set(drawn) == set(chances)
    for value, chance in chances.items():
        assert drawn[value] / count == pytest.approx(chance, abs=4 * (chance * (1 - chance) / count) ** 0.5)


def test_a_study_from_before_the_rounding_goes_on_drawing_each_multiple_alike() -> None:
    space = SearchSpace((SpaceParameter("a", "quniform", low=1.0, high=4.0, q=1.0),))
    drawn = draws(space, {"name": "random", "options": {}})
    assert min(drawn.values()) / 3000 == pytest.approx(0.25, abs=0.03)


def test_the_rounding_is_no_option_that_people_set() -> None:
    with pytest.raises(SpecificationError, match="no option rounded"):
        choose(FINITE, "random", rounded={"a": [0, 1]})
    assert choose(FINITE, "random").record == {"name": "random", "options": {}}


@pytest.mark.parametrize("name", pruners.BUILDERS)
def test_every_pruner_is_recorded_with_its_options_and_built_from_the_record(name: str) -> None:
    record = pruners.choose(PrunerSpecification.model_validate({"name": name}))
    study = optuna.create_study(pruner=pruners.build(record))
    trial = study.ask()
    trial.report(1.0, 1)
    assert trial.should_prune() in (True, False)
