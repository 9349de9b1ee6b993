"""RecBole's ``hyper.test`` format, read by a grammar (``hyper_format.lark``); nothing in it is ever executed.

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
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

from lark import Lark, Token, Tree, UnexpectedInput

from model import lookalikes
from tuner.errors import SpaceError, SpaceErrors, raise_all
from tuner.space import expressions, hyper_format_errors
from tuner.space.parameter import BOUNDS, PARAMETER_TYPES, SpaceParameter, remark_on_exponents
from tuner.space.params_dict import looks_like_a_configuration
from tuner.space.space import MOST_PARAMETERS, SearchSpace, repetitions

# Deeper than any option of any model; keeps hostile files from exhausting the stack.
_MAX_DEPTH = 16
_MOST_CHARACTERS = 50_000
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\.?\d[\w.+-]*", re.ASCII)
_CONSTANTS = {"None": None, "True": True, "False": False}
_BEGINNING = re.compile(rf"\s*\S+\s+({'|'.join(PARAMETER_TYPES)})\b")
# The first line that is no comment is `key: value`, or a key with a block below it.
_CONFIGURATION = re.compile(r"(?:[^\S\n]*(?:#[^\n]*)?\n|---[^\n]*\n)*(?P<key>\w+)\s*:(?:\s|$)")

Node = Tree[Token]


def parse(text: str, filename: str = "hyper.test") -> SearchSpace:
    """The space that a params file declares.

    Args:
        text: the file's content; CRLF, CR and a byte order mark are fine.
        filename: name for messages.

    Raises:
        SpaceError: with line, column and what to write instead; a SpaceErrors when several lines are wrong.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if configured := _CONFIGURATION.match(text):
        keys = dict.fromkeys(re.findall(r"^(\w+)\s*:", text, re.MULTILINE))
        raise looks_like_a_configuration(keys, filename, text.count("\n", 0, configured.start("key")) + 1)
    builder = _Builder(filename)
    parameters: list[SpaceParameter] = []
    errors: list[SpaceError] = []
    for number, line in _statements(text):
        try:
            if (parameter := builder.read(number, line)) is not None:
                parameters.append(parameter)
        except SpaceError as error:
            errors.append(error)
        if len(errors) > SpaceErrors.MOST or len(parameters) > MOST_PARAMETERS:
            break
    errors.extend(repetitions(parameters, filename))
    raise_all(sorted(errors, key=lambda error: error.line or 0))
    if not parameters:
        raise SpaceError(
            "The file declares no parameter.",
            "Write one a line, for example: learning_rate loguniform -8,0",
            file=filename,
        )
    return SearchSpace(tuple(parameters), tuple(builder.notes), filename)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines, without those that go on with a bracket which an earlier one left open.

    That earlier line is an error, and what follows is no second one.
    """
    depth = 0
    for number, line in enumerate(text.split("\n"), 1):
        if depth > 0 and not _BEGINNING.match(line):
            depth += hyper_format_errors.depth(line)
            continue
        yield number, line
        depth = hyper_format_errors.depth(line)


@cache
def _grammar() -> Lark:
    text = files("tuner.space").joinpath("hyper_format.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", lexer="contextual", maybe_placeholders=False)


class _Builder:
    """Turns the lines of one file into parameters, collecting notes on the way."""

    def __init__(self, filename: str) -> None:
        self.filename = filename
        self.notes: list[str] = []
        self._number, self._line = 0, ""

    def read(self, number: int, line: str) -> SpaceParameter | None:
        """The parameter that a line declares, None for an empty one."""
        self._number, self._line = number, line
        if not line.strip() or line.lstrip().startswith("#"):
            return None
        self._check_characters()
        self._check_size()
        try:
            tree = _grammar().parse(line + "\n")
        except UnexpectedInput as error:
            problem, fix, column = hyper_format_errors.explain(line, error.column)
            raise SpaceError(problem, fix, file=self.filename, line=number, column=column) from None
        return next((self._parameter(child) for child in tree.children if isinstance(child, Tree)), None)

    def _check_size(self) -> None:
        """Refuse what would occupy the parser for long and can't be meant."""
        if len(self._line) > _MOST_CHARACTERS:
            problem, fix = f"A line has at most {_MOST_CHARACTERS:,} characters.", "Is it the right file?"
        elif hyper_format_errors.nesting(self._line) > _MAX_DEPTH:
            problem, fix = "The brackets are nested too deeply.", f"At most {_MAX_DEPTH} levels are read."
        else:
            return
        raise SpaceError(problem, fix, file=self.filename, line=self._number, column=1)

    def _check_characters(self) -> None:
        """Refuse characters outside quotes that look like others; such spaces are spaces, and are remarked on."""
        bare = hyper_format_errors.without_texts(self._line)
        if bare.isascii():
            return
        spaces = [place for place, character in enumerate(bare) if lookalikes.likeness(character) == " "]
        if spaces:
            character = bare[spaces[0]]
            self.notes.append(
                f"{self.filename}:{self._number}:{spaces[0] + 1}: {lookalikes.describe(character)} is read as a "
                "space; RecBole does not do so. Write an ordinary one."
            )
            bare = "".join(" " if lookalikes.likeness(each) == " " else each for each in bare)
        if (place := lookalikes.find(bare)) is not None:
            character = bare[place]
            problem = f"The character here is {lookalikes.describe(character)}."
            raise SpaceError(
                problem, lookalikes.instead(character), file=self.filename, line=self._number, column=place + 1
            )

    def _parameter(self, node: Node) -> SpaceParameter:
        name, kind, *rest = node.children
        assert isinstance(name, Token)
        assert isinstance(kind, Token)
        self._check_name(name)
        if kind not in PARAMETER_TYPES:
            raise self._error(kind, f"Unknown type {str(kind)!r} of {name}.", _type_fix(kind))
        try:
            if kind == "choice":
                options = self._options(name, _values(rest))
                return SpaceParameter(str(name), "choice", options, line=self._number)
            return self._range(name, kind, rest)
        except SpaceError as error:
            if error.line is not None:
                raise
            raise self._error(kind, error.problem, error.fix) from None

    # Ranges

    def _range(self, name: Token, kind: Token, rest: list[Token | Node]) -> SpaceParameter:
        wanted = BOUNDS[kind]
        nodes = _values(rest)
        usage = f"Write {name} {kind} {','.join(wanted)} (numbers, no brackets)."
        if len(nodes) == 1 and nodes[0].data in ("sequence", "group"):
            inner = _values(nodes[0].children)
            numbers = [str(node.children[0]) for node in inner if node.data == "atom" and _is_finite(node)]
            same = len(numbers) == len(inner) == len(wanted)
            fix = f"Write {name} {kind} {','.join(numbers)}." if same else usage
            raise self._error(_first_token(nodes[0]), f"The bounds of a {kind} stand without brackets.", fix)
        numbers_given = [self._bound(node, usage) for node in nodes]
        if len(numbers_given) != len(wanted):
            raise self._error(_first_token(nodes[0]), f"{kind} takes {len(wanted)} numbers, not {len(nodes)}.", usage)
        if kind == "quniform":
            low, high, q = numbers_given
            return SpaceParameter(str(name), "quniform", low=low, high=high, q=q, line=self._number)
        low, high = numbers_given
        if kind == "uniform":
            return SpaceParameter(str(name), "uniform", low=low, high=high, line=self._number)
        parameter = SpaceParameter(str(name), "loguniform", low=low, high=high, line=self._number)
        if remark := remark_on_exponents(low, high):
            self._note(name, remark)
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
        if found := expressions.bounds(hyper_format_errors.value_text(self._line)):
            name, kind = self._line.split()[:2]
            raise self._error(token, "Expressions are not run.", f"Write {name} {kind} {found}.")
        raise self._error(token, f"{_short(token)} is not a number.", usage)

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
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                number = None
            if isinstance(number, int) or (isinstance(number, float) and math.isfinite(number)):
                return number
            raise self._error(
                token,
                f"{_short(token)} is not a number that can be used.",
                "Write a plain number, like 64 or 1e-3.",
            )
        if re.fullmatch(r"[+-]?(nan|inf|infinity)", token, re.IGNORECASE):
            raise self._error(token, f"{token!s} is not finite.", "Write a finite number.")
        if token.lower() in ("true", "false", "none", "null"):
            python = {"true": "True", "false": "False"}.get(token.lower(), "None")
            raise self._error(token, f"{token!s} is not a value.", f"Write {python}.")
        if re.fullmatch(r"\w[\w.-]*", token):
            raise self._error(
                token, f"{_short(token)} is neither a number nor a text.", f"Put texts into quotes: '{_short(token)}'."
            )
        fix = hyper_format_errors.written_out(self._line)
        raise self._error(token, f"{_short(token)} is an expression, and expressions are not run.", fix)

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
        self.notes.append(f"{self.filename}:{self._number}:{token.column}: {remark}.")

    def _error(self, token: Token, problem: str, fix: str) -> SpaceError:
        return SpaceError(problem, fix, file=self.filename, line=self._number, column=token.column)


def _values(children: list[Any]) -> list[Node]:
    """The subtrees among children, without brackets and commas."""
    return [child for child in children if isinstance(child, Tree)]


def _is_finite(atom: Node) -> bool:
    try:
        return math.isfinite(float(_first_token(atom)))
    except ValueError:
        return False


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
