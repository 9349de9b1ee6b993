"""Explains where and why a params file departs from the grammar, in words instead of token names."""

from __future__ import annotations

import re

from lark import UnexpectedInput

from tuner.errors import SpaceError

_CLOSING = {"[": "]", "(": ")", "{": "}"}
_RANGE = re.compile(
    r"(?:list\s*\(\s*)?range\s*\(\s*([+-]?\d{1,6})\s*(?:,\s*([+-]?\d{1,6})\s*)?(?:,\s*([+-]?\d{1,6})\s*)?\)"
)
# Longer lists are no advice any more.
_MOST_VALUES = 20


def explain(error: UnexpectedInput, text: str, filename: str) -> SpaceError:
    """The SpaceError for a syntax error of Lark's in ``text`` (newlines normalised)."""
    line_text = text.split("\n")[error.line - 1]
    problem, fix, column = _diagnose(line_text, error.column)
    return SpaceError(problem, fix, file=filename, line=error.line, column=column)


def _diagnose(line: str, column: int) -> tuple[str, str, int]:
    """(problem, fix, 1-based column) of the first thing wrong in ``line``, which Lark met at ``column``."""
    before, rest = line[: column - 1], line[column - 1 :]
    fields = before.split()
    call = re.search(r"\b[A-Za-z_]\w*\s*$", before) if rest.startswith("(") and len(fields) > 2 else None
    if call:
        return _expression(line, call.start() + 1)
    if re.search(r"[\[\](){},]\s*$|^\S+\s+\S+\s+.*\S\s+$", before) and re.match(r"(for|if|in)\b", rest):
        return _expression(line, column)
    if rest[:1] in ("'", '"') and not re.match(r"'(\\.|[^'\\])*'|\"(\\.|[^\"\\])*\"", rest):
        return "A quote is never closed.", f"End the text with {rest[0]}.", column
    if not rest.strip() or rest.startswith("#"):
        return _ended_early(line[: column - 1], column)
    if len(fields) == 1 and column > len(before.rstrip()):
        return (
            f"A type is missing after {fields[0]}.",
            f"Write {fields[0]} choice [...], or uniform, quniform, loguniform with numbers.",
            column,
        )
    if rest[0] in "])}":
        return f"{rest[0]!r} closes nothing.", "Remove it, or add the bracket that it closes.", column
    if rest[0] in ",:":
        return f"A value is missing before {rest[0]!r}.", f"Write one, or remove the {rest[0]!r}.", column
    return (
        f"{_word(rest)!r} is not expected here.",
        "Put commas between values, and one parameter on a line.",
        column,
    )


def _expression(line: str, column: int) -> tuple[str, str, int]:
    fix = "Write the values out: [1, 2, 3]."
    if match := _RANGE.search(line):
        bounds = [int(bound) for bound in match.groups() if bound is not None]
        if len(bounds) < 3 or bounds[2] != 0:
            values = list(range(*bounds))
            if 0 < len(values) <= _MOST_VALUES:
                fix = f"Write {values}."
            elif values:
                steps = f"{values[0]},{values[-1]},{abs(values[1] - values[0])}"
                fix = f"Write the values out, or quniform {steps}."
    return "Expressions are not run.", fix, column


def _ended_early(line: str, column: int) -> tuple[str, str, int]:
    fields = line.split()
    if len(fields) == 1 and not any(bracket in line for bracket in _CLOSING):
        return (
            f"{fields[0]} has neither type nor value.",
            f"Write {fields[0]} choice [...], or put # before a comment.",
            column,
        )
    if opened := _open_bracket(line):
        place, bracket = opened
        return (
            f"{bracket!r} is never closed.",
            f"Add {_CLOSING[bracket]!r}; a value stands on one line.",
            place,
        )
    name, kind = fields[0], fields[1] if len(fields) > 1 else ""
    if line.rstrip().endswith(","):
        return "A value is missing after the comma.", "Write one, or remove the comma.", column
    example = {"choice": "[1, 2]", "quniform": "1,8,1", "loguniform": "-8,0"}.get(kind, "0.1,0.5")
    return f"{name} has no value.", f"Write {name} {kind} {example}, for example.", column


def _open_bracket(line: str) -> tuple[int, str] | None:
    """1-based place and kind of the innermost bracket still open at the end of the line."""
    bare = re.sub(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", lambda match: "_" * len(match.group()), line)
    opened: list[tuple[int, str]] = []
    for place, character in enumerate(bare, 1):
        if character in _CLOSING:
            opened.append((place, character))
        elif opened and character == _CLOSING[opened[-1][1]]:
            opened.pop()
    return opened[-1] if opened else None


def _word(rest: str) -> str:
    match = re.match(r"[^\s,\[\](){}:]+", rest)
    return match.group() if match else rest[0]
