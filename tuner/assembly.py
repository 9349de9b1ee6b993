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
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from model import lookalikes
from model.config import load_config
from model.registry import get_model, parameters_of
from tuner.errors import SpaceError, SpecificationError
from tuner.fields import role_of
from tuner.space import SearchSpace
from tuner.space.review import review_space
from tuner.specification import StudyOptions, StudySpecification


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
    fields["name"] = options.name or name or derived_name(fields)
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
    fields = specification.with_absolute_paths().model_dump(mode="json", exclude=_budget())
    fields["config"].pop("data_path", None)
    return fields


def _budget() -> set[str]:
    """Fields that say how much to run and how fast, not what is computed."""
    return {name for name, field in StudySpecification.model_fields.items() if role_of(field).budget}


def derived_name(fields: Mapping[str, Any], kind: type[StudyOptions] = StudySpecification) -> str:
    """A name that is always the same for the same study.

    A field that is not set makes no difference unless the first version had it: a study keeps the name that it had
    before there was the field.
    """
    content = {key: value for key, value in fields.items() if _tells_apart(kind.model_fields[key], value)}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:6]
    return f"{safe_name(fields['model'])}-{safe_name(fields['dataset'])[:60]}-{digest}"


def _tells_apart(field: FieldInfo, value: Any) -> bool:
    role, default = role_of(field), field.get_default(call_default_factory=True)
    unset = default.model_dump() if isinstance(default, BaseModel) else default
    return not role.budget and (role.first or value != unset)


def _plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON has them: tuples become lists, YAML's dates become texts."""
    plain: dict[str, Any] = json.loads(json.dumps(given, default=str))
    return plain


def _unknown_keys(model: str, unknown: Mapping[str, str | None]) -> Iterable[str]:
    for key, near in unknown.items():
        hint = f" Did you mean {near}?" if near else ""
        yield f"{key} is not a parameter that {model} knows; it changes nothing.{hint}{lookalikes.hint(key)}"
