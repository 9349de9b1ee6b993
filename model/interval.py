"""Intervals of numbers in RecBole's notation: ``[5,inf)``, or several that are joined by ``;``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

_PIECE = re.compile(r"\s*([\[(])([^,;]*),([^,;]*)([\])])\s*")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|inf\b)")


@dataclass(frozen=True)
class Interval:
    """A union of intervals such as ``[1,2);[4,5]``."""

    parts: tuple[tuple[float, float, bool, bool], ...]  # low, high, low included, high included

    @classmethod
    def parse(cls, value: object, key: str) -> Interval:
        """Read the value of the setting ``key``; None is no limit.

        RecBole goes on without what it can't read, and filters less than was asked for. A list of two numbers is the
        interval that it looks like, because that is what the text ``[2,6]`` of a command line has become.

        Raises:
            ConfigError: it is no interval, or one that holds no number; says what was probably meant.
        """
        if value is None:
            return cls(())
        text = str(value) if isinstance(value, str) or _is_pair(value) else ""
        pieces = [piece for piece in text.split(";") if piece.strip()]
        parts = [_part(piece) for piece in pieces]
        for piece, part in zip(pieces, parts, strict=True):
            if part is None or not _holds_numbers(*part):
                problem = "is no interval" if part is None else "is an interval that no number lies in"
                of_value = "" if len(pieces) == 1 else f" ({piece.strip()!r})"
                raise ConfigError(f"{key} = {value!r}{of_value} {problem}. Write {_meant(piece)}.")
        if not parts:
            raise ConfigError(f"{key} = {value!r} is no interval. Write {_meant(str(value))}.")
        return cls(tuple(part for part in parts if part is not None))

    def contains(self, values: np.ndarray) -> np.ndarray:
        """Which values lie inside; NaN never does. No part means no limit."""
        import numpy as np  # here, because a configuration is checked without it

        if not self.parts:
            return np.ones(len(values), dtype=bool)
        inside = np.zeros(len(values), dtype=bool)
        for low, high, with_low, with_high in self.parts:
            above = values >= low if with_low else values > low
            below = values <= high if with_high else values < high
            inside |= above & below
        return inside

    @property
    def lowest(self) -> float:
        """Lower bound of the first part."""
        return self.parts[0][0] if self.parts else -math.inf


def _is_pair(value: object) -> bool:
    numbers = isinstance(value, list | tuple) and len(value) == 2
    return numbers and all(isinstance(each, int | float) and not isinstance(each, bool) for each in value)  # type: ignore[attr-defined]


def _part(piece: str) -> tuple[float, float, bool, bool] | None:
    match = _PIECE.fullmatch(piece)
    if match is None:
        return None
    try:
        return float(match[2]), float(match[3]), match[1] == "[", match[4] == "]"
    except ValueError:
        return None


def _holds_numbers(low: float, high: float, with_low: bool, with_high: bool) -> bool:
    """Whether any finite number lies inside; NaN as a bound lets none in."""
    return low < high or (low == high and with_low and with_high and math.isfinite(low))


def _meant(text: str) -> str:
    """The interval that a text was probably meant to be, as it is written."""
    found = _NUMBER.findall(text)
    numbers = sorted(dict.fromkeys(found), key=float)
    match numbers:
        case ["inf" | "+inf" | "-inf"]:
            return "'[5,inf)', for example"
        case [only] if len(found) > 1:
            return f"'[{only},{only}]'"
        case [only] if re.match(r"\s*[\[(]?\s*,", text) or "<" in text:
            return f"'[0,{only}]'"
        case [only]:
            return f"'[{only},inf)' for at least {only}"
        case [low, high]:
            return f"'[{low},inf)'" if high in ("inf", "+inf") else f"'[{low},{high}]'"
    return "'[5,inf)', for example"
