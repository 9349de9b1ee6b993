from __future__ import annotations

from typing import Any

import optuna
import pytest

from tuner.engine import pruners, samplers
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


@pytest.mark.parametrize("name", pruners.BUILDERS)
def test_every_pruner_is_recorded_with_its_options_and_built_from_the_record(name: str) -> None:
    record = pruners.choose(PrunerSpecification.model_validate({"name": name}))
    study = optuna.create_study(pruner=pruners.build(record))
    trial = study.ask()
    trial.report(1.0, 1)
    assert trial.should_prune() in (True, False)
