"""From what people write (options, a search space, configuration files and flags) to a specification.

Study folders, the command line and the REST service all come through here, so that one study means one thing
however it was launched.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from model.config import Config, load_config
from model.literals import parse_literal
from model.registry import parameters_of
from tuner.engine.plan import Plan, check_searched, planned
from tuner.engine.studies.draft import Draft, draft
from tuner.errors import Problems, SpaceError, SpecificationError
from tuner.fields import role_of
from tuner.space import SearchSpace
from tuner.specification import StudyOptions, StudySpecification

if TYPE_CHECKING:
    from tuner.engine.studies.choice import Choice


def assemble(
    options: StudyOptions,
    space: SearchSpace,
    *,
    config_files: Sequence[str | Path] = (),
    command_line: Sequence[str] = (),
    name: str | None = None,
    bounds: Sequence[Callable[[StudySpecification], None]] = (),
    choose: Callable[[Plan, Problems], Choice | None] | None = None,
) -> Draft:
    """Merge and check everything that can be checked without the data set, once.

    Args:
        config_files: YAML files, weaker than ``options.config``, which is weaker than the command line.
        command_line: tokens ``--key=value``.
        name: used when the options have none; without either a name is derived from the content, so that
            the same request gets the same name.
        bounds: what else the specification has to pass; each raises what is wrong with it.
        choose: :func:`tuner.engine.studies.choice.choose`, to have sampler and pruner checked as well. It needs Optuna;
            without it they are checked when the study is created.

    Raises:
        SpaceError, ConfigError, SpecificationError: what is wrong, where, and what to write instead; all of it where
            it is several things.
    """
    config = load_config(
        options.model,
        options.dataset,
        config_files=config_files,
        config_dict=options.config,
        command_line=command_line,
    )
    problems = Problems()
    checked = problems.gather(lambda: _checked(space, config))
    space = space if checked is None else checked
    specification = problems.gather(lambda: _specification(options, config, space, name))
    if specification is None:
        problems.raise_found()
    assert specification is not None  # or what is wrong with it was raised
    for bound in bounds:
        problems.gather(partial(bound, specification))
    # Those who run the study read both from JSON; what they read is what is planned here.
    return draft(planned(specification, _as_stored(config), _stored_space(space, specification)), problems, choose)


def _checked(space: SearchSpace, config: Config) -> SearchSpace:
    """The space, checked and without options that mean the same; it still knows its file and lines."""
    if not space.parameters:
        raise SpaceError("The search space is empty.", "Name at least one parameter.", file=space.file)
    check_searched(config, space)
    return space.with_distinct_options(parameters_of(config.model))


def _specification(options: StudyOptions, config: Config, space: SearchSpace, name: str | None) -> StudySpecification:
    fields = options.model_dump(include=set(StudyOptions.model_fields)) | {
        "model": config.model,
        "dataset": config.dataset,
        "space": space.to_json(),
        "config": _plain(config.given),
    }
    fields["name"] = options.name or name or derived_name(fields)
    try:
        return StudySpecification.model_validate(fields)
    except ValidationError as error:
        raise SpecificationError(describe(error)) from None


def _as_stored(config: Config) -> Config:
    """The configuration as it is read from JSON: tuples are lists then, and quoted literals literals."""
    stored = {
        key: parse_literal(value) if isinstance(value, str) else value for key, value in _plain(config.given).items()
    }
    return config if stored == config.given else Config(config.model, config.dataset, stored)


def _stored_space(space: SearchSpace, specification: StudySpecification) -> SearchSpace:
    stored = SearchSpace.from_json(specification.space)
    return space if space == stored else stored


def same_study(one: StudySpecification, other: StudySpecification) -> list[str]:
    """Names of the fields in which the two differ, the budget aside; empty for one study."""
    left, right = _comparable(one), _comparable(other)
    return [field for field in left if left[field] != right[field]]


def describe(error: ValidationError) -> str:
    """The first problem that pydantic found, as a sentence."""
    return _sentence(error.errors(include_url=False)[0])


def describe_all(error: ValidationError) -> list[str]:
    """Every problem that pydantic found, as sentences."""
    return [_sentence(each) for each in error.errors(include_url=False)]


def _sentence(error: ErrorDetails) -> str:
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{place} is not known here. Remove it or check its spelling."
    return f"{place} = {_short(error['input'])}: {error['msg'].removesuffix('.')}."


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
