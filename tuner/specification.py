"""What a study is, before it runs: the one description that REST, command line and study folders share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from model import lookalikes
from model.registry import DEFAULT
from tuner.fields import Role

SamplerName = Literal["auto", "exhaustive", "random", "tpe", "gp", "cmaes", "qmc"]
PrunerName = Literal["none", "median", "percentile", "successive_halving", "hyperband", "patient", "asha_promotion"]


def _whose(value: object) -> object:
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if number in ("best", "all") or (isinstance(number, int) and not isinstance(number, bool) and number >= 1):
        return number
    raise ValueError("write best, all, or how many of the best trials, for example 3")


# Whose weights a study keeps: the best trial's, those of so many of the best, or all of them.
Keep = Annotated[Literal["best", "all"] | Annotated[int, Field(ge=1)], BeforeValidator(_whose)]

# RecBole's HyperTuning names of the algorithms.
RECBOLE_ALGORITHMS: dict[str, SamplerName] = {"exhaustive": "exhaustive", "random": "random", "bayes": "tpe"}

# The key by which a trial names a pretrained model; nothing is pretrained for it then.
GIVEN = "pre_model_path"


# What a whole number of a table can be.
MOST = 2**31 - 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _check_name(name: str) -> str:
    if _NAME.fullmatch(name):
        return name
    found = next((character for character in name if not re.fullmatch(r"[A-Za-z0-9._-]", character)), None)
    if found is not None:
        problem = f"{found!r} is not among them." + lookalikes.hint(name)
    elif len(name) > 100:
        problem = f"This one has {len(name)}."
    else:
        problem = "This one does not."
    rule = (
        "a study's name has letters (a-z, A-Z), digits and . _ - only, begins with a letter or a digit, and has at "
        "most 100 characters."
    )
    raise PydanticCustomError("study_name", "{words}", {"words": f"{rule} {problem}"})


# A name that can stand in a path and in an address.
StudyName = Annotated[
    str, AfterValidator(_check_name), WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"})
]


class SamplerSpecification(BaseModel):
    """A sampler by name, with Optuna's options of that sampler."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: SamplerName = Field(default="auto", description="auto: exhaustive when the space is finite, else tpe.")
    options: dict[str, Any] = Field(default_factory=dict)


class PrunerSpecification(BaseModel):
    """A pruner by name, with Optuna's options of that pruner; the resource is the finetuning epoch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: PrunerName = "none"
    options: dict[str, Any] = Field(default_factory=dict)


class ConfirmSpecification(BaseModel):
    """Running the best parameter sets again with other training seeds, when the search has ended."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top: int = Field(default=3, ge=1, le=100, description="How many parameter sets.")
    seeds: int = Field(default=5, ge=2, le=100, description="How many seeds for each.")


def _named(value: Any) -> Any:
    """``"tpe"`` for ``{"name": "tpe"}``; RecBole's names of the algorithms are understood."""
    return {"name": RECBOLE_ALGORITHMS.get(value, value)} if isinstance(value, str) else value


_BUDGET = Role(budget=True)


class StudyOptions(BaseModel):
    """What study.yaml, a request, the launch page and the flags of ``tuner run`` say of a study.

    This is the one declaration of a study's fields; :mod:`tuner.fields` reads from it what they are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    name: Annotated[str | None, Role(first=True)] = Field(
        default=None, description="Unique name, also used in paths. Left out: made from the content."
    )
    model: Annotated[str | None, Role(first=True)] = Field(
        default=None, description=f"A model's name, for example {DEFAULT}."
    )
    dataset: Annotated[str | None, Role(first=True)] = Field(
        default=None, title="Data set", description="A data set's name, for example ml-100k."
    )
    # On a command line every flag that is no field is configuration.
    config: Annotated[dict[str, Any], Role(first=True, flag=False)] = Field(
        default_factory=dict, title="Configuration", description="Fixed configuration values by key."
    )
    sampler: Annotated[
        SamplerSpecification,
        BeforeValidator(_named, json_schema_input_type=SamplerName | Literal["bayes"] | SamplerSpecification),
        Role(first=True, also=("--algo",)),
    ] = Field(
        default=SamplerSpecification(),
        description="How parameters are chosen: a name (bayes: tpe), or with Optuna's options "
        '{"name": ..., "options": {...}}. auto: exhaustive when the space is finite, else tpe.',
    )
    pruner: Annotated[
        PrunerSpecification,
        BeforeValidator(_named, json_schema_input_type=PrunerName | PrunerSpecification),
        Role(first=True),
    ] = Field(
        default=PrunerSpecification(),
        description='When trials end early: a name, or with Optuna\'s options {"name": ..., "options": {...}}.',
    )
    max_trials: Annotated[int | None, Role(budget=True, also=("--max_evals",), request_most=100_000, later=True)] = (
        Field(
            default=None,
            ge=1,
            le=MOST,
            title="Trials at most",
            description="Left out: the whole space if finite, else 100.",
        )
    )
    timeout_seconds: Annotated[float | None, _BUDGET] = Field(
        default=None, gt=0, allow_inf_nan=False, description="Wall-clock budget; running trials finish."
    )
    computing_hours: Annotated[float | None, _BUDGET] = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Budget of computing time, added up over all epochs of all trials.",
    )
    early_stop: Annotated[int | None, _BUDGET] = Field(
        default=None, ge=1, le=MOST, description="End after this many trials without improvement."
    )
    target_value: Annotated[float | None, _BUDGET] = Field(
        default=None, allow_inf_nan=False, description="End when the objective reaches this value."
    )
    max_failures: Annotated[int, _BUDGET] = Field(
        default=5, ge=1, le=MOST, description="Failures in a row that pause the study."
    )
    keep: Annotated[Keep, _BUDGET] = Field(
        default="best",
        description="Whose weights are kept when they have ended: best, all, or the number of the best trials.",
    )
    reuse_results: Annotated[bool, _BUDGET] = Field(
        default=True, description="Whether a trial whose parameters were trained before gets that result untrained."
    )
    warm_start: str | None = Field(
        default=None, description="A study (name or id) whose finished trials the sampler begins from."
    )
    confirm: ConfirmSpecification | None = Field(
        default=None,
        description='Run the best parameter sets again with other training seeds: {"top": 3, "seeds": 5}.',
    )
    # As a flag it is training's.
    seed: Annotated[int, Role(first=True, flag=False)] = Field(
        default=2020, ge=0, le=2**63 - 1, description="Seed of the search; training uses config['seed']."
    )
    workers: Annotated[int | None, Role(budget=True, request_most=1_000)] = Field(
        default=None, ge=1, le=MOST, description="Trials at once; left out: what the installation allows."
    )


class StudySpecification(StudyOptions):
    """Everything that decides a study's results, and how much of the machine it may use.

    ``space`` is the canonical JSON of a search space (:mod:`tuner.space`); ``config`` holds what was fixed
    (configuration files and flags already merged), never defaults, so that it reads as what was asked for.
    """

    name: Annotated[StudyName, Role(first=True)] = Field(description="Unique name, also used in paths.")
    model: Annotated[str, Role(first=True)]
    dataset: Annotated[str, Role(first=True)]
    space: Annotated[dict[str, Any], Role(first=True)]

    def with_absolute_paths(self) -> StudySpecification:
        """The same with absolute paths of pretrained models, fixed and searched ones: workers run in other folders."""
        config = {key: absolute(value) if _is_path(key) else value for key, value in self.config.items()}
        parameters = [
            entry | {"values": [absolute(option) for option in entry["values"]]}
            if _is_path(entry["name"]) and "values" in entry
            else entry
            for entry in self.space["parameters"]
        ]
        return self.model_copy(update={"config": config, "space": self.space | {"parameters": parameters}})


def absolute(path: Any) -> Any:
    """The path of a pretrained model made absolute; no path, and what is none, stays."""
    return str(Path(path).absolute()) if isinstance(path, str) and path else path


def _is_path(name: str) -> bool:
    return name.rpartition(".")[2] == GIVEN
