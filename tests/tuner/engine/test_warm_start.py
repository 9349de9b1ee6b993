"""Studies that begin from what another one has found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest

from tuner import insight
from tuner.engine.search.replay import Replay, replay
from tuner.engine.studies import creation, steering
from tuner.engine.work.entry import run_worker
from tuner.errors import SpecificationError
from tuner.settings import Settings
from tuner.space import SpaceParameter
from tuner.specification import SamplerSpecification, StudySpecification
from tuner.store import Database, StudyState

Create = Callable[..., int]
Make = Callable[..., StudySpecification]

TPE = SamplerSpecification(name="tpe", options={"n_startup_trials": 2})
RATE = SpaceParameter("finetune.learning_rate", "loguniform", low=-5.0, high=0.0)
SHORT = {"epochs": 1, "pretrain_epochs": 1}


def trials(database: Database, name: str) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=database.storage).trials


@pytest.fixture
def first(database: Database, settings: Settings, create: Create) -> str:
    """A grid of six that is done."""
    create("first", space={"finetune.learning_rate": [0.01, 0.1, 0.3], "width": [4, 8]}, config=SHORT)
    run_worker(settings, exit_when_idle=True)
    return "first"


def test_the_sampler_sees_the_other_studys_trials_and_nobody_else_does(
    database: Database, settings: Settings, create: Create, first: str
) -> None:
    space = {"finetune.learning_rate": RATE, "width": [4, 8]}
    study_id = create("second", space=space, sampler=TPE, max_trials=2, warm_start=first, config=SHORT)
    run_worker(settings, exit_when_idle=True)
    found = trials(database, "second")
    assert len(found) == 8
    for before, now in zip(trials(database, first), found, strict=False):
        assert (now.params, now.value) == (before.params, before.value)
        assert now.user_attrs["warm_start"] == {"study": first, "trial": before.number}
    assert [trial.user_attrs["seen"] for trial in found[6:]] == ["0-5", "0-6"]
    summary = insight.get_study(database, study_id)
    assert summary.counts == {"completed": 2}
    assert summary.best_trial in (6, 7)
    assert summary.reason == "all 2 trials are done"
    assert replay(database, study_id) == Replay("second", 2, ())
    folder = settings.artifacts / "studies" / str(study_id) / "trials"
    assert [path.name for path in folder.iterdir()] == [str(summary.best_trial)]


def test_only_trials_that_the_new_study_could_have_made_are_taken(
    database: Database, create: Create, first: str
) -> None:
    # 0.01 and 0.3 are outside, width is fixed to one of the two that were searched.
    space = {"finetune.learning_rate": SpaceParameter("finetune.learning_rate", "uniform", low=0.05, high=0.2)}
    create("second", space=space, sampler=TPE, max_trials=2, warm_start=first, config={**SHORT, "width": 4})
    (taken,) = trials(database, "second")
    assert taken.params == {"finetune.learning_rate": 0.1}
    assert trials(database, first)[taken.user_attrs["warm_start"]["trial"]].params["width"] == 4


def test_a_fixed_value_of_the_other_study_is_a_parameter_of_this_one(
    database: Database, create: Create, first: str
) -> None:
    noise = SpaceParameter("noise", "uniform", low=0.0, high=0.5)
    space = {"finetune.learning_rate": RATE, "width": [4, 8], "noise": noise}
    create("second", space=space, sampler=TPE, max_trials=2, warm_start=first, config=SHORT)
    assert {trial.params["noise"] for trial in trials(database, "second")} == {0.1}
    # Searched for both stages, the rate would have to be the same in both; pretraining's was 0.05.
    rate = SpaceParameter("learning_rate", "loguniform", low=-5.0, high=0.0)
    with pytest.raises(SpecificationError, match="none of its 6 finished trials fits"):
        create("third", space={"learning_rate": rate}, sampler=TPE, max_trials=2, warm_start=first, config=SHORT)


def test_other_fixed_values_are_pointed_out(
    database: Database, settings: Settings, specification: Make, first: str
) -> None:
    longer = {"epochs": 7, "pretrain_epochs": 1, "width": 4}
    asked = specification(
        "second", space={"finetune.learning_rate": RATE}, sampler=TPE, warm_start=first, config=longer
    )
    assert creation.create(database, settings, asked).warnings == (
        "Begins from 3 of the 6 finished trials of first.",
        "first was made with other fixed values: epochs 1 (here 7).",
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warm_start": "nobody"}, "there is no such study"),
        ({"config": {"valid_metric": "Recall@10", "metrics": ["Recall"]}}, "valid_metric is 'ndcg@10'"),
        ({"config": {"eval_args": {"mode": "uni100"}}}, "its eval_args is"),
        ({"config": {"user_inter_num_interval": "[2,inf)"}}, "its user_inter_num_interval is"),
        ({"sampler": SamplerSpecification(name="random")}, "the sampler random does not choose by results"),
    ],
)
def test_what_can_not_be_compared_is_refused_and_nothing_is_created(
    database: Database, create: Create, first: str, options: dict[str, Any], message: str
) -> None:
    asked: dict[str, Any] = {"space": {"finetune.learning_rate": RATE}, "sampler": TPE, "warm_start": first, **options}
    with pytest.raises(SpecificationError, match=message):
        create("second", **asked)
    assert optuna.get_all_study_names(database.storage) == [first]


def test_a_study_without_results_is_nothing_to_begin_from(database: Database, create: Create) -> None:
    create("first")
    with pytest.raises(SpecificationError, match="no trial has a value"):
        create("second", space={"finetune.learning_rate": RATE}, sampler=TPE, warm_start="first")
    assert steering.find(database, "first").state is StudyState.QUEUED
