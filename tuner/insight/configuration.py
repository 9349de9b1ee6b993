"""A trial's parameters as a configuration that can be used as it is.

A form is one function ``(configuration) -> text`` and one registration in :data:`FORMS`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from model.config import load_config
from model.literals import parse_literal
from model.registry import get_model
from tuner.errors import TrialNotFound
from tuner.insight.studies import get_study
from tuner.insight.trials import get_trial
from tuner.store import Database
from tuner.store import studies as study_rows


@dataclass(frozen=True)
class TrialConfiguration:
    """What a trial was trained with.

    Attributes:
        config: what was given, for all trials and by the trial's parameters; ``<stage>.key`` holds for one stage.
        stages: for each stage the keys that were given and that it reads, in the order in which they are trained.
    """

    study: str
    trial: int
    model: str
    dataset: str
    config: dict[str, Any]
    stages: dict[str, dict[str, Any]]


def trial_configuration(database: Database, name: str | int, number: int | None = None) -> TrialConfiguration:
    """The configuration of one trial, without a number of the best one.

    Raises:
        StudyNotFound: there is no such study.
        TrialNotFound: the study has no such trial, or no trial has completed; or it has not begun.
    """
    study = get_study(database, name)
    if number is None:
        number = study.best_trial
        if number is None:
            raise TrialNotFound(f"No trial of {study.name} has completed, so none is the best. Give a trial's number.")
    trial = get_trial(database, study.id, number)
    if trial.params is None:
        raise TrialNotFound(f"Trial {number} of {study.name} has no parameters yet.")
    with database.session() as session:
        given: dict[str, Any] = study_rows.find_study(session, study.id).specification["config"]
    values = dict(trial.params) if trial.seed is None else {**trial.params, "seed": trial.seed}
    config = load_config(study.model, study.dataset, config_dict=given)
    stages = {stage.name: config.for_stage(stage.name, values).given for stage in get_model(study.model).stages}
    # What a trial sets for all stages wins also over what was given for one.
    kept = {key: value for key, value in config.given.items() if key.rpartition(".")[2] not in values}
    return TrialConfiguration(study.name, number, study.model, study.dataset, {**kept, **values}, stages)


def as_json(found: TrialConfiguration) -> str:
    """Everything, for programs."""
    return json.dumps(asdict(found), indent=2) + "\n"


def as_yaml(found: TrialConfiguration) -> str:
    """A configuration file for ``tuner run --config_files`` and for ``run_recbole`` here."""
    head = f"# Trial {found.trial} of {found.study}.\n"
    return head + _yaml({"model": found.model, "dataset": found.dataset, **found.config})


def as_recbole(found: TrialConfiguration) -> str:
    """Configuration files for RecBole, which reads one stage at a time: a YAML document for each stage."""
    return "---\n".join(_recbole(found, stage, values) for stage, values in found.stages.items())


def as_flags(found: TrialConfiguration) -> str:
    """The command line's flags, as a shell takes them."""
    named = {"model": found.model, "dataset": found.dataset, **found.config}
    return " ".join(f"--{key}={shlex.quote(_literal(value))}" for key, value in named.items()) + "\n"


def as_python(found: TrialConfiguration) -> str:
    """The call of RecBole's entry point, here as there."""
    lines = [f"    {key!r}: {value!r},\n" for key, value in found.config.items()]
    call = f"run_recbole(model={found.model!r}, dataset={found.dataset!r}, config_dict=config)"
    return f"from model.quick_start import run_recbole\n\nconfig = {{\n{''.join(lines)}}}\n{call}\n"


FORMS: dict[str, Callable[[TrialConfiguration], str]] = {
    "json": as_json,
    "yaml": as_yaml,
    "recbole": as_recbole,
    "flags": as_flags,
    "python": as_python,
}


def _recbole(found: TrialConfiguration, stage: str, values: Mapping[str, Any]) -> str:
    names = list(found.stages)
    head = f"# Trial {found.trial} of {found.study}, stage {stage}"
    if len(names) > 1:
        head += f" ({names.index(stage) + 1} of {len(names)}; a file of its own)"
    if stage != names[0] and not values.get("pre_model_path"):
        head += f".\n# Set pre_model_path to what {names[names.index(stage) - 1]} saved"
    return f"{head}.\n" + _yaml({"model": found.model, "dataset": found.dataset, **values})


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(json.loads(json.dumps(values)), sort_keys=False, allow_unicode=True)


def _literal(value: Any) -> str:
    """The text that is read as ``value``; a text stands for itself unless it spells something else."""
    if isinstance(value, str):
        return value if parse_literal(value) == value else repr(value)
    return repr(value)
