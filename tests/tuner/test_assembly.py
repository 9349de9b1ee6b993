"""One specification, checked once: nothing is loaded, checked or reviewed twice, and all that is found is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.data import synthetic
from tuner import assembly, space
from tuner.assembly import assemble
from tuner.bounded import assemble_bounded
from tuner.engine import plan as plans
from tuner.engine.datasets import DatasetCache
from tuner.engine.plan import make_plan
from tuner.engine.studies import choice, creation, draft
from tuner.engine.studies.draft import Draft
from tuner.errors import SpaceError, SpecificationErrors
from tuner.settings import Settings
from tuner.space import SearchSpace
from tuner.specification import StudyOptions
from tuner.store import Database

SPACE = "hidden_dropout_prob choice [0.1, 0.2]\n"


@pytest.fixture
def settings(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    synthetic.write(tmp_path, "toy", users=40, items=20, classes=4, events=8, seed=1)
    monkeypatch.setenv("TUNER_DATA_ROOT", str(tmp_path))
    return Settings(home=tmp_path / "home", database_url=database_url, data_root=tmp_path)


def asked(**options: Any) -> StudyOptions:
    return StudyOptions.model_validate({"model": "S3Rec", "dataset": "toy"} | options)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often things are done that need be done once."""
    counted: Counter[str] = Counter()
    places: list[tuple[Any, str]] = [(assembly, "load_config"), (plans, "load_config"), (draft, "review_space")]
    for place, name in [*places, (SearchSpace, "check"), (DatasetCache, "load"), (choice.samplers, "choose")]:

        def counting(*given: Any, _done: Any = getattr(place, name), _name: str = name, **named: Any) -> Any:
            counted[_name] += 1
            return _done(*given, **named)

        monkeypatch.setattr(place, name, counting)
    return counted


@pytest.mark.parametrize(
    "ask",
    [
        lambda _settings: assemble(asked(name="once"), space.parse(SPACE)),
        lambda settings: assemble_bounded(settings, asked(name="once"), space.parse(SPACE)),
    ],
    ids=["at the command line", "by a request"],
)
def test_nothing_is_loaded_checked_or_reviewed_twice(
    database: Database, settings: Settings, calls: Counter[str], ask: Callable[[Settings], Draft]
) -> None:
    creation.create(database, settings, ask(settings))
    assert calls == {"load_config": 1, "check": 1, "review_space": 1, "load": 1, "choose": 1}


def test_the_remarks_of_the_review_are_those_of_the_created_study(database: Database, settings: Settings) -> None:
    found = assemble(asked(config={"hiden_size": 4}), space.parse(SPACE + "save_step choice [1, '1', 2]\n"))
    assert len(found.notes) == 3
    assert creation.create(database, settings, found).warnings == found.notes


@pytest.mark.parametrize("text", ["(1, 2)", "'\"1\"'", "[1, (2, 3)]", "2020-10-11", "0.1"])
def test_what_is_planned_is_what_those_read_who_run_it(text: str) -> None:
    found = assemble(asked(config={"wandb_project": text, "topk": (5, 10)}), space.parse(SPACE), name="s")
    again = make_plan(type(found.specification).model_validate_json(found.specification.model_dump_json()))
    assert found.plan.config.given == again.config.given
    assert dict(found.plan.config) == dict(again.config)
    assert found.plan.space == again.space


def test_everything_that_is_wrong_is_said_at_once(settings: Settings) -> None:
    options = asked(
        config={"hidden_size": 100_000, "data_path": "/etc"},
        max_trials=200_000,
        pruner={"name": "median", "options": {"percentile": 3}},
        sampler={"name": "tpe", "options": {"startup": 3}},
    )
    with pytest.raises(SpecificationErrors) as raised:
        assemble_bounded(settings, options, space.parse("n_layerz choice [1]\nhidden_dropout_prob choice [2.0]\n"))
    said = [str(error) for error in raised.value.every]
    assert len(said) == 6
    words = ("n_layerz", "hidden_size = 100000", "max_trials = 200,000", "TUNER_ROOTS", "startup", "percentile")
    for word, sentence in zip(words, said, strict=True):
        assert word in sentence


def test_one_thing_that_is_wrong_is_said_as_it_is(settings: Settings) -> None:
    with pytest.raises(SpaceError, match=r"^hyper\.test:1:1: .*n_layerz"):
        assemble_bounded(settings, asked(), space.parse("n_layerz choice [1]\n", "hyper.test"))
