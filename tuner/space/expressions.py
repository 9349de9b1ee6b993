"""What an expression in a params file would come to, so that an error can say what to write instead.

Nothing is run: the text is parsed, and a handful of forms are worked out (numbers with arithmetic, ``range``, lists,
a comprehension over one of them). Every number is worked out twice, exactly and as Python does, and where the two
part there is no answer: a proposal that only nearly means the same is worse than none.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_MOST_CHARACTERS = 500
_MOST_VALUES = 200
_MOST_STEPS = 5_000
_MOST_BITS = 1_000
_LARGEST = 2**63

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}


class _NoAnswer(Exception):
    """The text is none of the forms that are worked out."""


@dataclass(frozen=True)
class _Number:
    """A number, exactly and as Python computes it."""

    exact: Fraction
    computed: int | float


def options(text: str) -> str | None:
    """The list that ``text`` comes to, as a params file has it; None where that can't be said exactly."""
    try:
        value = _Evaluation().value(_parsed(text), {})
        return _written(value if isinstance(value, list) else [value])
    except (_NoAnswer, ArithmeticError, RecursionError):
        return None


def bounds(text: str) -> str | None:
    """The numbers that ``text``, some expressions with commas between them, comes to; None as for `options`."""
    try:
        value = _Evaluation().value(_parsed(f"({text},)"), {})
        if not isinstance(value, list) or not all(isinstance(bound, _Number) for bound in value):
            return None
        return ",".join(_written(bound) for bound in value)
    except (_NoAnswer, ArithmeticError, RecursionError):
        return None


def _parsed(text: str) -> ast.expr:
    if len(text) > _MOST_CHARACTERS:
        raise _NoAnswer
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _NoAnswer from None


class _Evaluation:
    """Works one expression out, within a limit of steps."""

    def __init__(self) -> None:
        self._steps = 0

    def value(self, node: ast.expr, names: Mapping[str, Any]) -> Any:
        """A list, a `_Number`, or a constant that is no number."""
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise _NoAnswer
        match node:
            case ast.Constant(value=value):
                return _constant(value)
            case ast.Name(id=name) if name in names:
                return names[name]
            case ast.List(elts=members) | ast.Tuple(elts=members):
                return [self.value(member, names) for member in members]
            case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _UNARY:
                number = self._number(operand, names)
                return _Number(_UNARY[type(sign)](number.exact), _UNARY[type(sign)](number.computed))
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
                return _combined(sign, self._number(left, names), self._number(right, names))
            case ast.Call(func=ast.Name(id="list" | "tuple"), args=[inner], keywords=[]):
                return self._list(inner, names)
            case ast.Call(func=ast.Name(id="range"), args=arguments, keywords=[]):
                return _range([self._number(argument, names) for argument in arguments])
            case ast.ListComp(elt=member, generators=[loop]) | ast.GeneratorExp(elt=member, generators=[loop]):
                return self._comprehension(member, loop, names)
        raise _NoAnswer

    def _number(self, node: ast.expr, names: Mapping[str, Any]) -> _Number:
        value = self.value(node, names)
        if not isinstance(value, _Number):
            raise _NoAnswer
        return value

    def _list(self, node: ast.expr, names: Mapping[str, Any]) -> list[Any]:
        value = self.value(node, names)
        if not isinstance(value, list):
            raise _NoAnswer
        return value

    def _comprehension(self, member: ast.expr, loop: ast.comprehension, names: Mapping[str, Any]) -> list[Any]:
        if loop.ifs or loop.is_async or not isinstance(loop.target, ast.Name):
            raise _NoAnswer
        name = loop.target.id
        return [self.value(member, {**names, name: each}) for each in self._list(loop.iter, names)]


def _constant(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return _Number(Fraction(value), value)
    if isinstance(value, float) and math.isfinite(value):
        return _Number(Fraction(repr(value)), value)
    raise _NoAnswer


def _combined(sign: ast.operator, left: _Number, right: _Number) -> _Number:
    size = max(left.exact.numerator.bit_length(), left.exact.denominator.bit_length())
    power = isinstance(sign, ast.Pow)
    if power and (right.exact.denominator != 1 or abs(right.exact) * size > _MOST_BITS):
        raise _NoAnswer
    combine = _BINARY[type(sign)]
    exact, computed = Fraction(combine(left.exact, right.exact)), combine(left.computed, right.computed)
    if abs(exact) >= _LARGEST or exact.denominator.bit_length() > _MOST_BITS:
        raise _NoAnswer
    return _Number(exact, computed)


def _range(arguments: list[_Number]) -> list[_Number]:
    numbers = [argument.computed for argument in arguments if isinstance(argument.computed, int)]
    if len(numbers) != len(arguments) or not 1 <= len(numbers) <= 3 or (len(numbers) == 3 and numbers[2] == 0):
        raise _NoAnswer
    found = range(*numbers)
    if len(found) > _MOST_VALUES:
        raise _NoAnswer
    return [_Number(Fraction(number), number) for number in found]


def _written(value: Any) -> str:
    if isinstance(value, list):
        if len(value) > _MOST_VALUES or not value:
            raise _NoAnswer
        return f"[{', '.join(_written(member) for member in value)}]"
    if isinstance(value, _Number):
        text = repr(value.computed)
        if not math.isfinite(value.computed) or Fraction(text) != value.exact:
            raise _NoAnswer
        return text
    # A params file drops spaces, inside quotes too.
    return repr(value).replace(" ", r"\x20")
