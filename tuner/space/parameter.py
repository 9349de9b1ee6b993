"""One parameter of a search space: what it is declared as, Optuna's representation of it, and its values.

This module is the only place that converts between the three:

* the **declaration** (``low``, ``high``, ``q``, ``values``) as a params file writes it, meaning what it means
  to RecBole: ``loguniform`` bounds are exponents of e, ``quniform`` is ``round(U(low, high) / q) * q``;
* Optuna's **representation** (:attr:`SpaceParameter.distribution`), which holds only scalars that can be told
  apart by ``==``: lists, mappings and look-alikes such as ``1`` and ``True`` become JSON texts;
* the **values** that a configuration gets (:meth:`SpaceParameter.value`).
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from model import lookalikes
from tuner.errors import SpaceError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

ParameterType = Literal["choice", "uniform", "quniform", "loguniform"]
PARAMETER_TYPES: tuple[ParameterType, ...] = get_args(ParameterType)

# exp() of anything below is not a normal double any more, and of anything above overflows it.
_SMALLEST_EXPONENT = -708.0
_LARGEST_EXPONENT = 709.0
# Neighbours among more steps than this are one number to a double.
_MOST_STEPS = 2**53
_HALF = Fraction(1, 2)
# What a range of each type is declared with.
BOUNDS: Mapping[str, tuple[str, ...]] = {
    "uniform": ("low", "high"),
    "loguniform": ("low", "high"),
    "quniform": ("low", "high", "q"),
}


@dataclass(frozen=True)
class SpaceParameter:
    """One parameter of a space.

    Attributes:
        name: configuration key, or ``<stage>.<key>`` when it applies to one stage only.
        type: ``choice``, ``uniform``, ``quniform`` or ``loguniform``.
        values: the options of a choice: None, booleans, numbers, texts, lists and mappings (tuples become
            lists), pairwise different.
        low, high: bounds of the other types as declared; of a loguniform they are exponents of e.
        q: step of a quniform.
        line: line of the params file, for messages.

    Raises:
        SpaceError: the declaration means nothing (no options, low above high, a step of zero, ...).
    """

    name: str
    type: ParameterType
    values: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    q: float | None = None
    line: int | None = None

    def __post_init__(self) -> None:
        if self.type == "choice":
            self._check_options()
        elif self.type in PARAMETER_TYPES:
            self._check_bounds()
        else:
            raise SpaceError(f"{self.name} has the type {self.type!r}.", f"The types are {', '.join(PARAMETER_TYPES)}.")

    @property
    def stage(self) -> str | None:
        """The stage before the dot, or None for a parameter of the whole trial."""
        return self.name.partition(".")[0] if "." in self.name else None

    @property
    def key(self) -> str:
        """The configuration key, without the stage."""
        return self.name.rpartition(".")[2]

    @property
    def size(self) -> int | None:
        """The number of different values, or None when they form a continuum."""
        if self.type == "choice":
            return len(self.values)
        if self.type == "quniform":
            first, last = self._lattice
            return last - first + 1
        return 1 if self.low == self.high else None

    @cached_property
    def effective_range(self) -> tuple[float, float] | None:
        """Smallest and largest value that a trial can get, or None for a choice."""
        if self.type == "choice":
            return None
        low, high = self._bounds
        if self.type == "loguniform":
            return math.exp(low), math.exp(high)
        if self.type == "quniform":
            first, last = self._lattice
            return self._recbole_multiple(first), self._recbole_multiple(last)
        return low, high

    @cached_property
    def distribution(self) -> BaseDistribution:
        """The parameter as Optuna knows it."""
        # Here, because a space is read, checked and shown without Optuna.
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        if self.type == "choice":
            return CategoricalDistribution(self._labels)
        low, high = self._bounds
        if self.type == "quniform":
            # In decimals, because Optuna warns about and cuts a high that is not low plus whole steps.
            q = Decimal(str(self.q))
            first, last = self._lattice
            return FloatDistribution(float(first * q), float(last * q), step=float(q))
        if self.type == "loguniform":
            return FloatDistribution(math.exp(low), math.exp(high), log=True)
        return FloatDistribution(low, high)

    def value(self, represented: Any) -> Any:
        """What the configuration gets for ``represented``, a value in Optuna's representation.

        Raises:
            SpaceError: the parameter can't take that value.
        """
        if self.type == "choice":
            for label, option in zip(self._labels, self.values, strict=True):
                # A storage may hand 2.0 back as 2, which == forgives; True is not 1 to us.
                if label == represented and isinstance(label, bool) == isinstance(represented, bool):
                    return option
            raise self._outside(represented)
        if isinstance(represented, bool) or not isinstance(represented, int | float):
            raise self._outside(represented)
        if self.type == "quniform":
            return self._recbole_multiple(round(represented / cast(float, self.q)))
        return float(represented)

    def representation(self, value: Any) -> Any:
        """Optuna's representation of a configuration value: the inverse of :meth:`value`.

        Raises:
            SpaceError: the parameter can't take that value.
        """
        if self.type == "choice":
            for label, option in zip(self._labels, self.values, strict=True):
                if _json(option) == _json(value) or (_is_number(option) and _is_number(value) and option == value):
                    return label
            raise self._outside(value)
        low, high = cast("tuple[float, float]", self.effective_range)
        if not _is_number(value) or not low <= value <= high:
            raise self._outside(value)
        if self.type != "quniform":
            return float(value)
        multiple = round(value / cast(float, self.q))
        if not math.isclose(self._recbole_multiple(multiple), value, rel_tol=1e-9, abs_tol=1e-12):
            raise self._outside(value)
        return float(multiple * Decimal(str(self.q)))

    def represented(self) -> Iterator[Any]:
        """Every value in Optuna's representation, in declared order; the parameter must be finite."""
        if self.type == "choice":
            yield from self._labels
        elif self.type == "quniform":
            q = Decimal(str(self.q))
            first, last = self._lattice
            for multiple in range(first, last + 1):
                yield float(multiple * q)
        elif self.size == 1:
            yield float(cast("tuple[float, float]", self.effective_range)[0])
        else:
            raise SpaceError(
                f"{self.name} {self.type} {self.low:g},{self.high:g} has no end of values.",
                "List values (choice), take steps (quniform), or search with tpe or random.",
            )

    def to_json(self) -> dict[str, Any]:
        """The declaration as it stands in ``tuner space --json`` and in a study's specification."""
        head: dict[str, Any] = {"name": self.name, "type": self.type}
        if self.type == "choice":
            return head | {"values": list(self.values)}
        head |= {"low": self.low, "high": self.high}
        return head | {"q": self.q} if self.type == "quniform" else head

    @cached_property
    def _labels(self) -> tuple[Any, ...]:
        scalars = all(option is None or isinstance(option, bool | int | float | str) for option in self.values)
        if scalars and _pairwise_unequal(self.values):
            return self.values
        mixed = tuple(_json(o) if isinstance(o, list | dict) else o for o in self.values)
        return mixed if _pairwise_unequal(mixed) else tuple(_json(option) for option in self.values)

    @property
    def _bounds(self) -> tuple[float, float]:
        return cast(float, self.low), cast(float, self.high)

    @cached_property
    def _lattice(self) -> tuple[int, int]:
        # In exact decimals: 0.35 / 0.1 is 3.4999... in binary. A multiple belongs to the range if more than one
        # point of it rounds there, so that 0.5,3.5,1 is 1, 2 and 3.
        low, high, q = (Fraction(str(number)) for number in (*self._bounds, self.q))
        if low == high:
            return round(low / q), round(low / q)
        return math.floor(low / q + _HALF), math.ceil(high / q - _HALF)

    def _recbole_multiple(self, multiple: int) -> float:
        # RecBole's (hyperopt's) arithmetic, so that 3 steps of 0.1 give its 0.30000000000000004.
        return multiple * cast(float, self.q) + 0.0

    def _check_options(self) -> None:
        object.__setattr__(self, "values", tuple(_plain(option, self.name) for option in self.values))
        if not self.values:
            raise SpaceError(f"{self.name} has no options.", "Give at least one: choice [1, 2].")
        if len({_json(option) for option in self.values}) < len(self.values):
            raise SpaceError(f"{self.name} lists an option twice.", "Remove the repetition.")

    def _check_bounds(self) -> None:
        for bound in BOUNDS[self.type]:
            number = getattr(self, bound)
            largest = sys.float_info.max
            numeric = isinstance(number, int | float) and not isinstance(number, bool)
            if not numeric or not -largest <= number <= largest:
                shown = repr(number) if not isinstance(number, int) else "too large"
                raise SpaceError(f"{self.name}: {bound} is {shown}.", "It must be a finite number.")
            object.__setattr__(self, bound, float(number))
        low, high = self._bounds
        if low > high:
            turned = (high, low) if self.q is None else (high, low, self.q)
            raise SpaceError(
                f"{self.name}: low {_shortest(low)} is above high {_shortest(high)}.",
                f"Write {self.type} {','.join(_shortest(bound) for bound in turned)}.",
            )
        if self.type == "quniform" and cast(float, self.q) <= 0:
            raise SpaceError(f"{self.name}: the step is {self.q:g}.", "It must be above 0.")
        if self.type == "quniform" and max(map(abs, self._lattice)) > _MOST_STEPS:
            raise SpaceError(
                f"{self.name}: steps of {self.q:g} are too small for bounds like {low:g},{high:g}.",
                "Write a larger step, or uniform.",
            )
        if self.type == "uniform" and not math.isfinite(high - low):
            raise SpaceError(f"{self.name}: {low:g},{high:g} is too wide a range.", "Write bounds that are meant.")
        if self.type == "loguniform" and low < _SMALLEST_EXPONENT:
            raise SpaceError(
                f"{self.name}: exp({low:g}) is zero to a number.",
                "The bounds of a loguniform are exponents of e: for 0.0001 to 0.01 write -9.21,-4.61.",
            )
        if self.type == "loguniform" and high > _LARGEST_EXPONENT:
            raise SpaceError(
                f"{self.name}: exp({high:g}) is too large for a number.",
                "The bounds of a loguniform are exponents of e: for 0.0001 to 0.01 write -9.21,-4.61.",
            )

    def _outside(self, value: Any) -> SpaceError:
        if self.type == "choice":
            fix = f"Take one of {_json(list(self.values))}."
        else:
            low, high = cast("tuple[float, float]", self.effective_range)
            steps = f" in steps of {self.q:g}" if self.q is not None else ""
            fix = f"Take a number from {low:g} to {high:g}{steps}."
        return SpaceError(f"{self.name} = {value!r} is outside the search space.", fix)


def remark_on_exponents(low: float, high: float) -> str | None:
    """What to say about bounds of a loguniform that look like the values themselves."""
    if not 0 < low <= high <= 1:
        return None
    return (
        f"the bounds of a loguniform are exponents of e, so {low:g},{high:g} means "
        f"{math.exp(low):.4g} to {math.exp(high):.4g}; for {low:g} to {high:g} write "
        f"{math.log(low):.4f},{math.log(high):.4f}"
    )


def read_json(entry: Any, place: int, file: str | None) -> SpaceParameter:
    """The parameter that :meth:`SpaceParameter.to_json` described, ``place`` (from 0) in its list.

    Raises:
        SpaceError: it has another shape, or means nothing.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise SpaceError(f"parameters[{place}] has no name.", 'Write {"name": "...", ...}.', file=file)
    name, kind = entry["name"], entry.get("type")
    if kind not in PARAMETER_TYPES:
        raise SpaceError(f"{name} has the type {kind!r}.", f"The types are {', '.join(PARAMETER_TYPES)}.", file=file)
    given, needed = set(entry) - {"name", "type"}, set(BOUNDS.get(kind, ("values",)))
    if given != needed:
        raise SpaceError(
            f"{name} ({kind}) has {', '.join(sorted(given)) or 'nothing'} beside its name and type.",
            f"It needs {', '.join(sorted(needed))}.",
            file=file,
        )
    if kind == "choice" and not isinstance(entry["values"], list):
        raise SpaceError(f"{name}: values is not a list.", 'Write "values": [1, 2].', file=file)
    bounds = {key: entry[key] for key in ("low", "high", "q") if key in entry}
    return SpaceParameter(name, kind, tuple(entry.get("values", ())), **bounds)


def _plain(option: Any, name: str) -> Any:
    """The option with lists for tuples, checked to survive JSON unchanged."""
    if isinstance(option, list | tuple):
        return [_plain(member, name) for member in option]
    if isinstance(option, Mapping):
        if not all(isinstance(key, str) for key in option):
            raise SpaceError(f"{name}: the keys of {option!r} are not all texts.", "Put them into quotes.")
        return {key: _plain(member, name) for key, member in option.items()}
    if isinstance(option, float) and not math.isfinite(option):
        raise SpaceError(f"{name}: {option!r} is no option.", "Numbers must be finite.")
    if isinstance(option, int) and abs(option) >= 2**63:
        raise SpaceError(f"{name}: an option has {option.bit_length()} bits.", "Whole numbers have at most 63.")
    if isinstance(option, str) and (place := lookalikes.unwritable(option)) is not None:
        problem = f"{name}: {option!r} holds {lookalikes.describe(option[place])}."
        raise SpaceError(problem, "No file and no database takes it; remove it.")
    if option is None or isinstance(option, bool | int | float | str):
        return option
    raise SpaceError(f"{name}: {option!r} is no option.", "Options are numbers, texts, lists and mappings.")


def _shortest(number: float) -> str:
    """The number with all its digits, and without a fraction that is zero."""
    return repr(number).removesuffix(".0")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _pairwise_unequal(options: tuple[Any, ...]) -> bool:
    """Whether ``==`` tells the options apart, as Optuna does: 1, 1.0 and True are one to it."""
    return len(set(options)) == len(options)
