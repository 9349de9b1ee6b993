"""From what people write (options, a search space, configuration files and flags) to a specification.

Study folders, the command line and the REST service all come through here, so that one study means one thing
however it was launched.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from model import lookalikes
from model.config import load_config
from model.registry import DEFAULT, get_model, parameters_of
from tuner.errors import SpaceError, SpecificationError
from tuner.space import SearchSpace
from tuner.space.review import review_space
from tuner.specification import (
    MOST,
    RECBOLE_ALGORITHMS,
    ConfirmSpecification,
    Keep,
    PrunerSpecification,
    SamplerSpecification,
    StudySpecification,
)

# Fields that say how much to run and how fast, not what is computed.
BUDGET_FIELDS = frozenset(
    {
        *("max_trials", "timeout_seconds", "computing_hours", "early_stop", "target_value", "max_failures", "keep"),
        *("reuse_results", "workers"),
    }
)
# Fields that early versions did not have; where they are not set, a study keeps the name that it had then.
_LATER_FIELDS = frozenset({"warm_start", "confirm"})


def _named(value: Any) -> Any:
    """``"tpe"`` for ``{"name": "tpe"}``; RecBole's names of the algorithms are understood."""
    return {"name": RECBOLE_ALGORITHMS.get(value, value)} if isinstance(value, str) else value


class StudyOptions(BaseModel):
    """What study.yaml, the REST body and the flags of ``tuner run`` have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    name: str | None = Field(default=None, description="Unique name; generated when left out.")
    model: str | None = Field(default=None, description=f"A model's name, for example {DEFAULT}.")
    dataset: str | None = Field(default=None, description="A data set's name, for example ml-100k.")
    config: dict[str, Any] = Field(default_factory=dict, description="Fixed configuration values by key.")
    sampler: Annotated[SamplerSpecification, BeforeValidator(_named)] = Field(
        default=SamplerSpecification(), description='A name, or {"name": ..., "options": {...}}.'
    )
    pruner: Annotated[PrunerSpecification, BeforeValidator(_named)] = Field(
        default=PrunerSpecification(), description='A name, or {"name": ..., "options": {...}}.'
    )
    max_trials: int | None = Field(
        default=None, ge=1, le=MOST, description="Left out: the whole space if finite, else 100."
    )
    timeout_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False, description="Wall-clock budget.")
    computing_hours: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Budget of computing time, added up over all epochs of all trials.",
    )
    early_stop: int | None = Field(
        default=None, ge=1, le=MOST, description="End after this many trials without improvement."
    )
    target_value: float | None = Field(
        default=None, allow_inf_nan=False, description="End when the objective reaches this value."
    )
    max_failures: int = Field(default=5, ge=1, le=MOST, description="Failures in a row that pause the study.")
    keep: Keep = Field(
        default="best",
        description="Whose weights are kept when they have ended: best, all, or the number of the best trials.",
    )
    reuse_results: bool = Field(
        default=True, description="Whether a trial whose parameters were trained before gets that result untrained."
    )
    warm_start: str | None = Field(
        default=None, description="A study (name or id) whose finished trials the sampler begins from."
    )
    confirm: ConfirmSpecification | None = Field(
        default=None, description="Run the best parameter sets again with other training seeds."
    )
    seed: int = Field(default=2020, ge=0, le=2**63 - 1, description="Seed of the search.")
    workers: int | None = Field(default=None, ge=1, le=MOST, description="Trials at once at most.")


@dataclass(frozen=True)
class Assembled:
    """A specification, and remarks for the person who wrote it; ``space`` knows its file and lines."""

    specification: StudySpecification
    notes: tuple[str, ...]
    space: SearchSpace


def assemble(
    options: StudyOptions,
    space: SearchSpace,
    *,
    config_files: Sequence[str | Path] = (),
    command_line: Sequence[str] = (),
    name: str | None = None,
) -> Assembled:
    """Merge and check everything that can be checked without the data set.

    Args:
        config_files: YAML files, weaker than ``options.config``, which is weaker than the command line.
        command_line: tokens ``--key=value``.
        name: used when the options have none; without either a name is derived from the content, so that
            the same request gets the same name.

    Raises:
        SpaceError, ConfigError, SpecificationError: what is wrong, where, and what to write instead.
    """
    config = load_config(
        options.model,
        options.dataset,
        config_files=config_files,
        config_dict=options.config,
        command_line=command_line,
    )
    if not space.parameters:
        raise SpaceError("The search space is empty.", "Name at least one parameter.", file=space.file)
    # Here, and not only when the study is created: the space still knows its file and lines.
    space.check(parameters_of(config.model), fixed=config.given)
    space = space.with_distinct_options(parameters_of(config.model))
    remarks = review_space(space, get_model(config.model), config)
    fields = options.model_dump(include=set(StudyOptions.model_fields)) | {
        "model": config.model,
        "dataset": config.dataset,
        "space": space.to_json(),
        "config": _plain(config.given),
    }
    fields["name"] = options.name or name or _derived_name(fields)
    try:
        specification = StudySpecification.model_validate(fields)
    except ValidationError as error:
        raise SpecificationError(describe(error)) from None
    notes = (*_unknown_keys(config.model, config.unknown), *config.notes, *space.notes, *remarks)
    return Assembled(specification, notes, space)


def same_study(one: StudySpecification, other: StudySpecification) -> list[str]:
    """Names of the fields in which the two differ, the budget aside; empty for one study."""
    left, right = _comparable(one), _comparable(other)
    return [field for field in left if left[field] != right[field]]


def describe(error: ValidationError) -> str:
    """The first problem that pydantic found, as a sentence."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{place} is not known here. Remove it or check its spelling."
    return f"{place} = {_short(first['input'])}: {first['msg'].removesuffix('.')}."


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def safe_name(text: str) -> str:
    """``text`` with everything replaced that a study's name may not have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "study"


def _comparable(specification: StudySpecification) -> dict[str, Any]:
    # The engine makes paths absolute when it creates a study; a data set is known by its name.
    fields = specification.with_absolute_paths().model_dump(mode="json", exclude=set(BUDGET_FIELDS))
    fields["config"].pop("data_path", None)
    return fields


def _derived_name(fields: Mapping[str, Any]) -> str:
    content = {
        key: value
        for key, value in fields.items()
        if key not in BUDGET_FIELDS and (value is not None or key not in _LATER_FIELDS)
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:6]
    return f"{safe_name(fields['model'])}-{safe_name(fields['dataset'])[:60]}-{digest}"


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON has them: tuples become lists, YAML's dates become texts."""
    plain: dict[str, Any] = json.loads(json.dumps(given, default=str))
    return plain


def _unknown_keys(model: str, unknown: Mapping[str, str | None]) -> Iterable[str]:
    for key, near in unknown.items():
        hint = f" Did you mean {near}?" if near else ""
        yield f"{key} is not a parameter that {model} knows; it changes nothing.{hint}{lookalikes.hint(key)}"
