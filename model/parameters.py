"""The schema of a configuration: one :class:`Parameter` for every key a program knows.

A model declares its own parameters beside the ones that all models share. The schema is what checks
configuration files and search spaces, what turns ``2.0`` into ``2`` for a count, and what says which stages a
value shapes, hence which trials can share work.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from model import lookalikes
from model.errors import ConfigError

# A key with this stage shapes every stage of every model.
ANY_STAGE = "*"

# What a whole number of a table can be; seeds say themselves how large they may be.
_LARGEST_COUNT = 2**31 - 1

Kind = Literal["int", "float", "bool", "str", "list", "dict", "any"]


@dataclass(frozen=True)
class Parameter:
    """One configuration key.

    Attributes:
        name: RecBole's name of the key.
        kind: type of the value; ``any`` leaves the check to the code that uses it.
        default: value when nobody sets the key.
        doc: one sentence for the reference and the dashboard.
        choices: the values allowed, or None for no such limit.
        minimum, maximum: inclusive bounds for numbers.
        nullable: whether None is a value; the texts None, none and null are it too, for YAML reads only ~ and null so.
        any_case: whether the choices, which are in lower case, may be written in any.
        stages: names of the training stages whose weights this key shapes. Empty for keys that shape none
            (evaluation, environment, where files lie) and for keys that shape the data set, which has its own
            fingerprint.
        measures: whether the key decides what the reported values mean: which interactions there are, how they are
            split, what is ranked and by which metric. Values under two settings of such a key can't be compared, so
            that it holds for all trials and all stages of a study alike, and a search can't vary it.
        without_effect: for a key that changes no value of a study's trial, why it does not; else empty.
    """

    name: str
    kind: Kind
    default: Any
    doc: str
    choices: tuple[Any, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    nullable: bool = False
    stages: frozenset[str] = frozenset()
    measures: bool = False
    any_case: bool = False
    without_effect: str = ""

    def shapes(self, stage: str) -> bool:
        """Whether the key changes the weights that ``stage`` ends with."""
        return stage in self.stages or ANY_STAGE in self.stages

    def check(self, value: Any) -> Any:
        """The value as this parameter's type.

        Raises:
            ConfigError: the value has another type, is outside the bounds or not among the choices.
        """
        if value is None or (self.nullable and is_nothing(value) and value not in (self.choices or ())):
            if self.nullable:
                return None
            raise self._error(value, f"needs {self._wanted()}")
        if (character := _unwritable(value)) is not None:
            raise self._error(value, f"holds {lookalikes.describe(character)}, which no file and no database takes")
        converted = self._convert(value)
        if self.choices is not None and converted not in self.choices:
            hint = lookalikes.hint(value) if isinstance(value, str) else ""
            raise self._error(value, f"must be one of {', '.join(map(repr, self.choices))}", hint)
        if isinstance(converted, int | float) and not isinstance(converted, bool):
            self._check_bounds(converted)
        return converted

    def _convert(self, value: Any) -> Any:
        match self.kind:
            case "int":
                # quniform and YAML deliver counts as 2.0; 2.5 of something that is counted is a mistake.
                if isinstance(value, bool) or not isinstance(value, int | float) or value % 1 != 0:
                    raise self._error(value, f"needs {self._wanted()}")
                if self.maximum is None and abs(value) > _LARGEST_COUNT:
                    raise self._error(value, f"must be at most {_LARGEST_COUNT}")
                return int(value)
            case "float":
                number = isinstance(value, int | float) and not isinstance(value, bool)
                if not number or not -sys.float_info.max <= value <= sys.float_info.max:
                    raise self._error(value, f"needs {self._wanted()}")
                return float(value)
            case "bool" if not isinstance(value, bool):
                raise self._error(value, f"needs {self._wanted()}")
            case "str" if not isinstance(value, str):
                raise self._error(value, f"needs {self._wanted()}")
            case "list" if not isinstance(value, list | tuple):
                raise self._error(value, f"needs {self._wanted()}")
            case "dict" if not isinstance(value, Mapping):
                raise self._error(value, f"needs {self._wanted()}")
        return value.lower() if self.any_case and isinstance(value, str) else value

    def _check_bounds(self, value: float) -> None:
        if self.minimum is not None and value < self.minimum:
            raise self._error(value, f"must be at least {self.minimum:g}")
        if self.maximum is not None and value > self.maximum:
            raise self._error(value, f"must be at most {self.maximum:g}")

    def _wanted(self) -> str:
        names = {
            "int": "a whole number",
            "float": "a number",
            "bool": "true or false",
            "str": "a text",
            "list": "a list",
            "dict": "a mapping",
            "any": "a value",
        }
        return names[self.kind]

    def _error(self, value: Any, problem: str, hint: str = "") -> ConfigError:
        return ConfigError(f"{self.name} = {_short(value)}: {self.name} {problem} (default {self.default!r}).{hint}")


def is_nothing(value: Any) -> bool:
    """Whether the value is None, or a text that was meant as it."""
    return value is None or (isinstance(value, str) and value.strip().lower() in ("none", "null"))


def _short(value: Any) -> str:
    """The value for a message; Python does not write whole numbers of thousands of digits."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:197]}..."


def _unwritable(value: Any) -> str | None:
    """The first character in a value, however deep, that can't be written: NUL, or half of a surrogate pair."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str) and (place := lookalikes.unwritable(found)) is not None:
            return found[place]
        if isinstance(found, Mapping):
            waiting += [*found.keys(), *found.values()]
        elif isinstance(found, list | tuple):
            waiting += found
    return None


def by_name(parameters: Iterable[Parameter]) -> dict[str, Parameter]:
    """The parameters in order, keyed by name."""
    return {parameter.name: parameter for parameter in parameters}
