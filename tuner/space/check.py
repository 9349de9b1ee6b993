"""Whether a search space suits a model: names, stages, types, bounds, nothing both fixed and searched."""

from __future__ import annotations

import ast
import difflib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from model.errors import ConfigError
from model.parameters import ANY_STAGE
from tuner.errors import SpaceError, raise_all
from tuner.space.parameter import SpaceParameter

if TYPE_CHECKING:
    from model.parameters import Parameter


def check_parameters(
    searched: Iterable[SpaceParameter], schema: Mapping[str, Parameter], fixed: frozenset[str], file: str | None
) -> None:
    """Raise SpaceError for the parameters that the model can't take, naming their lines in ``file``."""
    errors = []
    for parameter in searched:
        try:
            _check_comparable(parameter, schema)
            _check_fixed(parameter, fixed)
            declared = _declared(parameter, schema)
            _check_stage(parameter, declared, schema)
            _check_values(parameter, declared)
        except SpaceError as error:
            column = None if parameter.line is None else 1
            place: dict[str, Any] = {"file": file, "line": parameter.line, "column": column}
            errors.append(SpaceError(error.problem, error.fix, **place))
    raise_all(errors)


def distinct_options(searched: SpaceParameter, declared: Parameter) -> tuple[tuple[Any, ...], list[str]]:
    """The options that the configuration tells apart, and a remark for each of the others."""
    kept: dict[str, Any] = {}
    remarks = []
    for option in searched.values:
        read = json.dumps(declared.check(as_configured(option, declared)), sort_keys=True, default=str)
        if read in kept:
            remarks.append(
                f"the option {option!r} of {searched.name} is read as {read}, as {kept[read]!r} is, and counts once"
            )
        kept.setdefault(read, option)
    return tuple(kept.values()), remarks


def _check_comparable(searched: SpaceParameter, schema: Mapping[str, Parameter]) -> None:
    if searched.key in schema and schema[searched.key].measures:
        raise SpaceError(
            f"{searched.key} decides what is measured, and values that were measured in different ways can't be "
            "compared.",
            "Remove it from the params file and set it in the configuration, for all trials alike.",
        )


def _check_fixed(searched: SpaceParameter, fixed: frozenset[str]) -> None:
    if searched.name in fixed:
        raise SpaceError(
            f"{searched.name} is both fixed and searched; every trial would use the fixed value.",
            "Remove it from the configuration (files or flags), or from the params file.",
        )


def _declared(searched: SpaceParameter, schema: Mapping[str, Parameter]) -> Parameter:
    if searched.key in schema:
        return schema[searched.key]
    near = difflib.get_close_matches(searched.key, schema, n=1, cutoff=0.6)
    scope = f"{searched.stage}." if searched.stage else ""
    fix = f"Did you mean {scope}{near[0]}?" if near else "`tuner models NAME` lists the parameters of a model."
    raise SpaceError(f"There is no parameter {searched.key}.", fix)


def _check_stage(searched: SpaceParameter, declared: Parameter, schema: Mapping[str, Parameter]) -> None:
    if searched.stage is None:
        return
    stages = sorted({stage for parameter in schema.values() for stage in parameter.stages} - {ANY_STAGE})
    if searched.stage in stages and declared.shapes(searched.stage):
        return
    if searched.stage not in stages:
        near = difflib.get_close_matches(searched.stage, stages, n=1)
        hint = f"Did you mean {near[0]}.{searched.key}?" if near else f"The stages are {', '.join(stages)}."
        raise SpaceError(f"There is no stage {searched.stage!r}.", hint)
    where = f"It shapes {', '.join(sorted(declared.stages))}." if declared.stages else "It belongs to no stage."
    raise SpaceError(
        f"{searched.key} does nothing in the stage {searched.stage}.", f"{where} Write {searched.key} alone."
    )


def _check_values(searched: SpaceParameter, declared: Parameter) -> None:
    if searched.type in ("uniform", "loguniform") and declared.kind == "int" and searched.size is None:
        low, high = searched.effective_range or (0.0, 0.0)
        raise SpaceError(
            f"{searched.key} is a whole number, and {searched.type} draws fractions.",
            f"Write {searched.name} quniform {math.ceil(low)},{math.floor(high)},1 or list values with choice."
            if math.ceil(low) < math.floor(high)
            else "List values with choice.",
        )
    for value in extremes(searched):
        try:
            declared.check(as_configured(value, declared))
        except ConfigError as error:
            raise SpaceError(str(error), _way_out(searched)) from None


def extremes(searched: SpaceParameter) -> Iterator[Any]:
    """Values such that all are fine if these are: every option, or the ends (and one step) of a range."""
    if searched.type == "choice":
        yield from searched.values
    elif searched.effective_range is not None:
        low, high = searched.effective_range
        yield from (low, high)
        if searched.type == "quniform" and searched.q is not None and low < high:
            yield searched.value(low + searched.q)


def _way_out(searched: SpaceParameter) -> str:
    if searched.type == "choice":
        return "Remove the option or write one that fits."
    if searched.type == "loguniform" and searched.effective_range is not None:
        low, high = searched.effective_range
        return (
            f"The bounds of a loguniform are exponents of e: {searched.low:g},{searched.high:g} means "
            f"{low:.4g} to {high:.4g}."
        )
    return "Change the bounds."


def as_configured(value: Any, declared: Parameter) -> Any:
    """``value`` as the configuration will read it: a text that spells a literal is that literal."""
    if not isinstance(value, str) or declared.kind in ("str", "any"):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
