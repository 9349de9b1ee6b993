"""A trial's configuration can be used as it is: each form is read back to what the trial was trained with."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
import yaml

from model import quick_start
from model.config import Config, load_config
from model.literals import parse_yaml
from tests.tuner.insight.conftest import Filled
from tuner.errors import TrialNotFound
from tuner.insight.configuration import FORMS, TrialConfiguration, trial_configuration
from tuner.insight.trials import get_trial
from tuner.store import Database
from tuner.store.tables import Study

# A text that needs quotes in a shell and in YAML, lists, mappings, nothing, and keys of one stage.
GIVEN: dict[str, Any] = {
    "learning_rate": 0.5,
    "pretrain.weight_decay": 0.1,
    "finetune.learning_rate": 0.25,
    "eval_args": {"split": {"LS": "valid_and_test"}, "mode": "full"},
    "topk": [5, 10],
    "save_dataset": False,
    "checkpoint_dir": "it's a folder",
    "clip_grad_norm": None,
}


@pytest.fixture
def found(filled: Filled) -> TrialConfiguration:
    with filled.database.transaction() as session:
        study = session.query(Study).one()
        study.specification = {**study.specification, "config": GIVEN}
    return trial_configuration(filled.database, "study")


def of_stage(found: TrialConfiguration, stage: str) -> Config:
    return load_config(found.model, found.dataset, config_dict=GIVEN).for_stage(stage, searched(found))


def searched(found: TrialConfiguration) -> dict[str, Any]:
    return {key: found.config[key] for key in ("n_layers", "learning_rate", "loss_type")}


def test_it_is_the_best_trials_unless_another_is_asked_for(filled: Filled, found: TrialConfiguration) -> None:
    assert found.trial == 1
    assert searched(found) == get_trial(filled.database, "study", 1).params
    other = trial_configuration(filled.database, "study", 0)
    assert searched(other) == get_trial(filled.database, "study", 0).params != searched(found)


def test_the_trials_values_win_and_each_stage_has_its_own(found: TrialConfiguration) -> None:
    assert found.config["learning_rate"] != 0.5
    pretrain, finetune = (found.stages[name] for name in ("pretrain", "finetune"))
    assert pretrain["weight_decay"] == 0.1
    assert "weight_decay" not in finetune
    assert pretrain["learning_rate"] == found.config["learning_rate"] == finetune["learning_rate"]
    assert {stage: values["train_stage"] for stage, values in found.stages.items()} == {
        "pretrain": "pretrain",
        "finetune": "finetune",
    }


@pytest.mark.parametrize("form", ["json", "yaml", "flags", "python"])
def test_a_form_is_read_back_to_the_same_configuration(form: str, found: TrialConfiguration) -> None:
    read = READERS[form](FORMS[form](found))
    for stage in found.stages:
        assert dict(read.for_stage(stage)) == dict(of_stage(found, stage))


def test_recbole_gets_a_file_for_each_stage_without_keys_that_it_does_not_know(found: TrialConfiguration) -> None:
    first, second = yaml.safe_load_all(FORMS["recbole"](found))
    for stage, values in (("pretrain", first), ("finetune", second)):
        assert not any("." in key for key in values)
        assert (values.pop("model"), values.pop("dataset")) == ("S3Rec", "walks")
        assert dict(load_config("S3Rec", "walks", config_dict=values)) == dict(of_stage(found, stage))
    assert "Set pre_model_path" in FORMS["recbole"](found)


def test_without_a_completed_trial_or_such_a_trial_there_is_none(filled: Filled, empty: Database) -> None:
    with pytest.raises(TrialNotFound, match="No trial of empty has completed"):
        trial_configuration(empty, "empty")
    with pytest.raises(TrialNotFound, match="has no trial 99"):
        trial_configuration(filled.database, "study", 99)


def from_python(text: str) -> Config:
    """What the program in ``text`` calls RecBole's entry point with."""
    given: dict[str, Any] = {}
    own = quick_start.run_recbole
    quick_start.run_recbole = lambda **arguments: given.update(arguments)  # type: ignore[assignment]
    try:
        exec(compile(text, "copied", "exec"), {})  # noqa: S102 - our own words
    finally:
        quick_start.run_recbole = own
    return load_config(**given)


READERS: dict[str, Any] = {
    "json": lambda text: load_config(
        **{key: json.loads(text)[key] for key in ("model", "dataset")}, config_dict=json.loads(text)["config"]
    ),
    "yaml": lambda text: load_config(config_dict=parse_yaml(text.encode(), "copied.yaml")),
    "flags": lambda text: load_config(command_line=shlex.split(text)),
    "python": from_python,
}
