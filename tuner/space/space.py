"""A search space: which parameters a study varies, and over which values."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from tuner.errors import SpaceError, raise_all
from tuner.space.check import check_parameters, distinct_options
from tuner.space.parameter import SpaceParameter, read_json

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from model.parameters import Parameter

# More than any model has.
MOST_PARAMETERS = 1_000


@dataclass(frozen=True)
class SearchSpace:
    """The parameters of a study in declared order, their names being unique.

    ``notes`` are remarks for the person who wrote the space: legal, but perhaps not what was meant.
    ``file`` is where the space came from. Neither takes part in comparisons.
    """

    parameters: tuple[SpaceParameter, ...]
    notes: tuple[str, ...] = ()
    file: str | None = None

    def __post_init__(self) -> None:
        raise_all(repetitions(self.parameters, self.file))
        if len(self.parameters) > MOST_PARAMETERS:
            raise SpaceError(
                f"A search space has at most {MOST_PARAMETERS:,} parameters.", "Is it the right file?", file=self.file
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SearchSpace) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_json(), sort_keys=True))

    def __getitem__(self, name: str) -> SpaceParameter:
        return {parameter.name: parameter for parameter in self.parameters}[name]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def size(self) -> int | None:
        """The number of combinations, None when it is not finite."""
        sizes = [parameter.size for parameter in self.parameters]
        return None if None in sizes else math.prod(cast("list[int]", sizes))

    def distributions(self) -> dict[str, BaseDistribution]:
        """The space as Optuna's samplers and ``study.ask`` take it."""
        return {parameter.name: parameter.distribution for parameter in self.parameters}

    def values(self, represented: Mapping[str, Any]) -> dict[str, Any]:
        """Configuration values, keyed like the space, of ``represented`` (``trial.params``).

        Raises:
            SpaceError: a parameter is missing, unknown, or has a value that it can't take.
        """
        self._check_names(represented)
        return {parameter.name: parameter.value(represented[parameter.name]) for parameter in self.parameters}

    def representations(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Optuna's representation of configuration values: the inverse of :meth:`values`.

        Raises:
            SpaceError: a parameter is missing, unknown, or has a value that it can't take.
        """
        self._check_names(values)
        return {parameter.name: parameter.representation(values[parameter.name]) for parameter in self.parameters}

    def _check_names(self, given: Mapping[str, Any]) -> None:
        if unknown := [name for name in given if name not in self.names]:
            raise SpaceError(f"{unknown[0]} is not searched.", f"Parameters: {', '.join(self.names)}.")
        if missing := [name for name in self.names if name not in given]:
            raise SpaceError(f"{missing[0]} has no value.", "Give one for every parameter of the space.")

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Every combination once, in Optuna's representation; the last declared parameter varies fastest.

        Raises:
            SpaceError: a parameter is continuous; named with the ways out.
        """
        options = [list(parameter.represented()) for parameter in self.parameters]
        for combination in itertools.product(*options):
            yield dict(zip(self.names, combination, strict=True))

    def check(self, parameters: Mapping[str, Parameter], fixed: Iterable[str] = ()) -> None:
        """Check the space against a model's schema and the keys that are fixed elsewhere.

        Raises:
            SpaceError: a name is unknown (with the nearest known one), a scope is not a stage of it, a value
                or bound does not suit it, or it is both fixed and searched.
        """
        check_parameters(self.parameters, parameters, frozenset(fixed), self.file)

    def with_distinct_options(self, parameters: Mapping[str, Parameter]) -> SearchSpace:
        """The space without options that the configuration reads as one that stands before them, with remarks.

        ``[16, 16.0]`` of a whole number is 16 twice, and two equal trials. The space must have passed :meth:`check`.
        """
        kept, notes = [], list(self.notes)
        for parameter in self.parameters:
            values, remarks = distinct_options(parameter, parameters[parameter.key])
            kept.append(replace(parameter, values=values) if remarks else parameter)
            place = ":".join(str(part) for part in (self.file, parameter.line) if part is not None)
            notes += [f"{place}: {remark}." if place else f"{remark}." for remark in remarks]
        return SearchSpace(tuple(kept), tuple(notes), self.file)

    def to_json(self) -> dict[str, Any]:
        """The canonical form: ``{"parameters": [...], "size": n}``."""
        return {"parameters": [parameter.to_json() for parameter in self.parameters], "size": self.size}

    @classmethod
    def from_json(cls, document: Any, *, file: str | None = None) -> SearchSpace:
        """The space that :meth:`to_json` described; ``size`` may be missing.

        Raises:
            SpaceError: the document has another shape.
        """
        entries = document.get("parameters") if isinstance(document, Mapping) else None
        if not isinstance(entries, list):
            raise SpaceError(
                "The search space is not an object with a list called parameters.",
                'Write {"parameters": [{"name": ..., "type": "choice", "values": [...]}]}.',
                file=file,
            )
        parameters: list[SpaceParameter] = []
        errors: list[SpaceError] = []
        for place, entry in enumerate(entries):
            try:
                parameters.append(read_json(entry, place, file))
            except SpaceError as error:
                errors.append(error)
        raise_all([*errors, *repetitions(parameters, file)])
        return cls(tuple(parameters), file=file)


def repetitions(parameters: Iterable[SpaceParameter], file: str | None) -> list[SpaceError]:
    """An error for every parameter whose name another one before it has."""
    seen: dict[str, SpaceParameter] = {}
    errors = []
    for parameter in parameters:
        earlier = seen.setdefault(parameter.name, parameter)
        if earlier is not parameter:
            where = f" (lines {earlier.line} and {parameter.line})" if parameter.line else ""
            column = 1 if parameter.line else None
            problem = f"{parameter.name} is declared twice{where}."
            errors.append(SpaceError(problem, "Keep one of them.", file=file, line=parameter.line, column=column))
    return errors
