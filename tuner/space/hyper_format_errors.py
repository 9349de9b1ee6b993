"""Explains where and why a params file departs from the grammar, in words instead of token names."""

from __future__ import annotations

import re

from tuner.space import expressions

_CLOSING = {"[": "]", "(": ")", "{": "}"}
# A quote that is never closed takes the rest of the line, so that it is met once.
_TEXT = re.compile(r"(?P<quote>['\"])(?:\\.|(?!(?P=quote))[^\\])*(?P<closed>(?P=quote))?")
_HEAD = re.compile(r"\s*\S+\s+([^\s#\[\](){}'\",:]+)")
_ALLOWED = (
    "Write the values out, one by one: numbers, texts in quotes, True, False, None, lists and mappings are values."
)


def without_texts(line: str) -> str:
    """The line with an underscore for every character inside quotes and without its comment."""

    def blank(match: re.Match[str]) -> str:
        return "_" * len(match.group()) if match["closed"] else match.group()

    return _TEXT.sub(blank, line).partition("#")[0]


def depth(line: str) -> int:
    """How many brackets the line opens and does not close; negative where it closes more."""
    bare = without_texts(line)
    return sum(bare.count(opening) - bare.count(closing) for opening, closing in _CLOSING.items())


def nesting(line: str) -> int:
    """How deep the brackets of the line go."""
    deepest = now = 0
    for character in re.findall(r"[\[\](){}]", without_texts(line)):
        now += 1 if character in _CLOSING else -1
        deepest = max(deepest, now)
    return deepest


def value_text(line: str) -> str:
    """What stands behind name and type, without the comment."""
    head = _HEAD.match(line)
    return line[head.end() : len(without_texts(line))].strip() if head else ""


def written_out(line: str) -> str:
    """The fix for a line whose value is an expression: the values, if they can be told, else what is allowed."""
    if found := _worked_out(line):
        return f"Write {found}."
    head = _HEAD.match(line)
    ranges = head is not None and head.group(1) in ("uniform", "quniform", "loguniform")
    return "Write the bounds as numbers." if ranges else _ALLOWED


def _worked_out(line: str) -> str | None:
    """What to write for the values of ``line``, None where they can't be told or are no expression."""
    head, text = _HEAD.match(line), value_text(line)
    if head is None:
        return None
    if head.group(1) == "choice":
        return expressions.options(text)
    found = expressions.bounds(text)
    return None if found is None else f"{' '.join(line.split()[:2])} {found}"


def explain(line: str, column: int) -> tuple[str, str, int]:
    """(problem, fix, 1-based column) of the first thing wrong in ``line``, which Lark met at ``column``."""
    before, rest = line[: column - 1], line[column - 1 :]
    fields = before.split()
    call = re.search(r"\b[A-Za-z_]\w*\s*$", before) if rest.startswith("(") and len(fields) > 2 else None
    if call:
        return _expression(line, call.start() + 1)
    if _worked_out(line):  # what is a literal was read, so this is more than one
        return _expression(line, column)
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
    return "Expressions are not run.", written_out(line), column


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
    bare = without_texts(line)
    opened: list[tuple[int, str]] = []
    for place, character in enumerate(bare, 1):
        if character in _CLOSING:
            opened.append((place, character))
        elif opened and character == _CLOSING[opened[-1][1]]:
            opened.pop()
    return opened[-1] if opened else None


def _word(rest: str) -> str:
    match = re.match(r"[^\s,\[\](){}:]+", rest)
    word = match.group() if match else rest[0]
    return word if len(word) <= 40 else f"{word[:37]}..."
