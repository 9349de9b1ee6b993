"""RecBole's ``hyper.test`` format, read by a grammar (``hyper_test.lark``); nothing in it is ever executed.

One parameter a line: ``name type value``, for example ``learning_rate loguniform -8,0``. The meaning is
RecBole's; where RecBole drops a line without a word (tabs, missing spaces) or runs it as code, this module
reads what was meant or says what to write. See docs/search-spaces.md.
"""

from __future__ import annotations

import ast
import difflib
import math
import re
import warnings
from functools import cache
from importlib.resources import files
from typing import Any

from lark import Lark, Token, Tree, UnexpectedInput

from tuner.errors import SpaceError
from tuner.space import hyper_test_errors
from tuner.space.space import PARAMETER_TYPES, SearchSpace, SpaceParameter

# Deeper than any option of any model; keeps hostile files from exhausting the stack.
_MAX_DEPTH = 16
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\.?\d[\w.+-]*", re.ASCII)
_CONSTANTS = {"None": None, "True": True, "False": False}
_BOUNDS = {"uniform": ("low", "high"), "loguniform": ("low", "high"), "quniform": ("low", "high", "q")}

Node = Tree[Token]


def parse(text: str, filename: str = "hyper.test") -> SearchSpace:
    """The space that a params file declares.

    Args:
        text: the file's content; CRLF, CR and a byte order mark are fine.
        filename: name for messages.

    Raises:
        SpaceError: with line, column and what to write instead.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n") + "\n"
    try:
        tree = _grammar().parse(text)
    except UnexpectedInput as error:
        raise hyper_test_errors.explain(error, text, filename) from None
    if not tree.children:
        raise SpaceError(
            "The file declares no parameter.",
            "Write one a line, for example: learning_rate loguniform -8,0",
            file=filename,
        )
    builder = _Builder(filename)
    parameters = tuple(builder.parameter(child) for child in tree.children if isinstance(child, Tree))
    return SearchSpace(parameters, tuple(builder.notes), filename)


@cache
def _grammar() -> Lark:
    text = files("tuner.space").joinpath("hyper_test.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", lexer="contextual", maybe_placeholders=False)


class _Builder:
    """Turns the tree of one file into parameters, collecting notes on the way."""

    def __init__(self, filename: str) -> None:
        self.filename = filename
        self.notes: list[str] = []

    def parameter(self, node: Node) -> SpaceParameter:
        name, kind, *rest = node.children
        assert isinstance(name, Token)
        assert isinstance(kind, Token)
        self._check_name(name)
        if kind not in PARAMETER_TYPES:
            raise self._error(kind, f"Unknown type {str(kind)!r} of {name}.", _type_fix(kind))
        try:
            if kind == "choice":
                options = self._options(name, _values(rest))
                return SpaceParameter(str(name), "choice", options, line=name.line)
            return self._range(name, kind, rest)
        except SpaceError as error:
            if error.line is not None:
                raise
            raise self._error(kind, error.problem, error.fix) from None

    # Ranges

    def _range(self, name: Token, kind: Token, rest: list[Token | Node]) -> SpaceParameter:
        wanted = _BOUNDS[kind]
        nodes = _values(rest)
        usage = f"Write {name} {kind} {','.join(wanted)} (numbers, no brackets)."
        if len(nodes) == 1 and nodes[0].data in ("sequence", "group"):
            inner = _values(nodes[0].children)
            numbers = [str(node.children[0]) for node in inner if node.data == "atom"]
            fix = f"Write {name} {kind} {','.join(numbers)}" if len(numbers) == len(wanted) else usage
            raise self._error(_first_token(nodes[0]), f"The bounds of a {kind} stand without brackets.", fix)
        numbers_given = [self._bound(node, usage) for node in nodes]
        if len(numbers_given) != len(wanted):
            raise self._error(_first_token(nodes[0]), f"{kind} takes {len(wanted)} numbers, not {len(nodes)}.", usage)
        if kind == "quniform":
            low, high, q = numbers_given
            return SpaceParameter(str(name), "quniform", low=low, high=high, q=q, line=name.line)
        low, high = numbers_given
        if kind == "uniform":
            return SpaceParameter(str(name), "uniform", low=low, high=high, line=name.line)
        parameter = SpaceParameter(str(name), "loguniform", low=low, high=high, line=name.line)
        if 0 < low <= high <= 1:
            self._note(
                name,
                f"the bounds of a loguniform are exponents of e, so {low:g},{high:g} means "
                f"{math.exp(low):.4g} to {math.exp(high):.4g}; for {low:g} to {high:g} write "
                f"{math.log(low):.4f},{math.log(high):.4f}",
            )
        return parameter

    def _bound(self, node: Node, usage: str) -> float:
        token = _first_token(node)
        if node.data == "atom":
            try:
                number = float(token)
            except ValueError:
                pass
            else:
                if math.isfinite(number):
                    return number
                raise self._error(token, f"{token!s} is not finite.", "Write a finite number.")
        raise self._error(token, f"{token!s} is not a number.", usage)

    # Choices

    def _options(self, name: Token, nodes: list[Node]) -> tuple[Any, ...]:
        if len(nodes) > 1:
            members = nodes  # `choice 1,2` is a tuple in Python, hence in RecBole
        elif nodes[0].data == "text":
            text = self._text(_first_token(nodes[0]))
            self._note(name, f"a text as choice means its letters, as in RecBole; for one option write [{text!r}]")
            return tuple(dict.fromkeys(text))
        elif nodes[0].data == "sequence" or _is_tuple(nodes[0]):
            members = _values(nodes[0].children)
        elif nodes[0].data == "braces":
            return self._set(nodes[0])
        else:
            value = self._value(nodes[0], 0)
            raise self._error(_first_token(nodes[0]), f"choice needs a list, not {value!r}.", f"Write [{value!r}].")
        if not members:
            raise self._error(
                _first_token(nodes[0]), f"{name} has no options.", "Put at least one between the brackets."
            )
        return self._distinct(name, [(node, self._value(node, 1)) for node in members])

    def _distinct(self, name: Token, options: list[tuple[Node, Any]]) -> tuple[Any, ...]:
        distinct: dict[str, Any] = {}
        for _, option in options:
            if repr(option) in distinct:
                self._note(name, f"the option {option!r} is listed twice and counts once")
            distinct.setdefault(repr(option), option)
        return tuple(distinct.values())

    def _set(self, node: Node) -> tuple[Any, ...]:
        opening = _first_token(node)
        members = _members(node)
        if not members or any(len(_values(member.children)) == 2 for member in members):
            raise self._error(opening, "choice needs a list, not a mapping.", "Put it into brackets: [{...}, {...}].")
        values = [self._value(_values(member.children)[0], 1) for member in members]
        if any(isinstance(value, list | dict) for value in values):
            raise self._error(opening, "A set can't hold lists or mappings.", "Use brackets: [...].")
        distinct = {repr(value): value for value in values}
        # Sets have no order; sorted is how small integers come out in RecBole.
        return tuple(sorted(distinct.values(), key=lambda value: (str(type(value)), value is not None, value)))

    # Values

    def _value(self, node: Node, depth: int) -> Any:
        token = _first_token(node)
        if depth > _MAX_DEPTH:
            raise self._error(token, "The brackets are nested too deeply.", f"At most {_MAX_DEPTH} levels are read.")
        match node.data:
            case "atom":
                return self._atom(token)
            case "text":
                return self._text(token)
            case "braces":
                return self._mapping(node, depth)
        values = [self._value(child, depth + 1) for child in _values(node.children)]
        if node.data == "group" and not _is_tuple(node):
            return values[0]
        return values

    def _mapping(self, node: Node, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for member in _members(node):
            pair = _values(member.children)
            token = _first_token(member)
            if len(pair) != 2:
                raise self._error(token, "A set is no option.", "Write a list: [...].")
            key = self._value(pair[0], depth + 1)
            if not isinstance(key, str):
                raise self._error(token, f"The key {key!r} is not a text.", "Put it into quotes.")
            if key in mapping:
                raise self._error(token, f"The key {key!r} stands twice.", "Keep one of them.")
            mapping[key] = self._value(pair[1], depth + 1)
        return mapping

    def _atom(self, token: Token) -> Any:
        if token in _CONSTANTS:
            return _CONSTANTS[token]
        if _NUMBER.fullmatch(token):
            try:
                number = ast.literal_eval(str(token))
            except (ValueError, SyntaxError):
                number = None
            if isinstance(number, int | float) and math.isfinite(number):
                return number
            raise self._error(
                token,
                f"{_short(token)} is not a number that can be used.",
                "Write a plain number, like 64 or 1e-3.",
            )
        if token.lower() in ("true", "false", "none", "null"):
            python = {"true": "True", "false": "False"}.get(token.lower(), "None")
            raise self._error(token, f"{token!s} is not a value.", f"Write {python}.")
        if re.fullmatch(r"\w[\w.-]*", token):
            raise self._error(token, f"{token!s} is neither a number nor a text.", f"Put texts into quotes: '{token}'.")
        raise self._error(token, f"{token!s} is an expression, and expressions are not run.", "Write the values out.")

    def _text(self, token: Token) -> str:
        # RecBole drops every space of a value, inside quotes too.
        kept, dropped = (self._unquoted(token, raw) for raw in (str(token), str(token).replace(" ", "")))
        if kept != dropped and _literal(kept) != _literal(dropped):
            self._note(
                token,
                f"spaces inside quotes are dropped, as in RecBole: {dropped!r}; write \\x20 to keep one",
            )
        return dropped

    def _unquoted(self, token: Token, raw: str) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return str(ast.literal_eval(raw))
            except (ValueError, SyntaxError):
                raise self._error(
                    token, f"The text {token!s} has a broken escape.", "Write \\\\ for a backslash."
                ) from None

    # Messages

    def _check_name(self, name: Token) -> None:
        if _NAME.fullmatch(name):
            return
        inner = re.search(_NAME, name)
        fix = "Names are letters, digits and underscores, with one dot after a stage."
        if inner and inner.group() not in PARAMETER_TYPES:
            fix = f"Write {inner.group()}, a space, the type, a space and the values."
        raise self._error(name, f"{str(name)!r} is not a parameter name.", fix)

    def _note(self, token: Token, remark: str) -> None:
        self.notes.append(f"{self.filename}:{token.line}:{token.column}: {remark}.")

    def _error(self, token: Token, problem: str, fix: str) -> SpaceError:
        return SpaceError(problem, fix, file=self.filename, line=token.line, column=token.column)


def _values(children: list[Any]) -> list[Node]:
    """The subtrees among children, without brackets and commas."""
    return [child for child in children if isinstance(child, Tree)]


def _members(braces: Node) -> list[Node]:
    return _values(braces.children)


def _is_tuple(node: Node) -> bool:
    """Whether a pair of round brackets makes a tuple, as (1,) and () do and (1) does not."""
    commas = any(isinstance(child, Token) and child.type == "COMMA" for child in node.children)
    return node.data == "group" and (commas or not _values(node.children))


def _first_token(node: Node) -> Token:
    child = node.children[0]
    while isinstance(child, Tree):
        child = child.children[0]
    return child


def _short(token: str) -> str:
    return token if len(token) <= 40 else f"{token[:37]}..."


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _type_fix(kind: str) -> str:
    near = difflib.get_close_matches(kind.lower(), PARAMETER_TYPES, n=1, cutoff=0.5)
    if kind.lower() in ("int", "range", "randint", "integer"):
        near = ["quniform"]
    usage = {
        "choice": "choice [1, 2]",
        "uniform": "uniform low,high",
        "quniform": "quniform low,high,step",
        "loguniform": "loguniform low,high (exponents of e)",
    }
    if near:
        return f"Did you mean {usage[near[0]]}?"
    return f"The types are {', '.join(PARAMETER_TYPES)}."
