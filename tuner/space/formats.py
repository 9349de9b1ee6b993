"""Formats of params files: a name, the suffixes it is known by, and a function from text to space.

A format is one module that calls :func:`register`, or a package that names a :class:`SpaceFormat` in the
entry point group ``rectuner.space_formats``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from tuner.errors import SpaceError
from tuner.space import hyper_format, params_dict
from tuner.space.space import SearchSpace

# Far above any hand-written file; keeps an upload from occupying the service.
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class SpaceFormat:
    """How to read one kind of params file.

    Attributes:
        name: what ``load(..., format=...)`` calls it.
        suffixes: file name endings, with the dot; the first format without any is the default.
        parse: (text, file name) -> space; raises SpaceError.
    """

    name: str
    suffixes: tuple[str, ...]
    parse: Callable[[str, str], SearchSpace]


_formats: dict[str, SpaceFormat] = {}


def register(space_format: SpaceFormat) -> None:
    """Make a format known; a second one of the same name replaces the first."""
    _formats[space_format.name] = space_format


def formats() -> dict[str, SpaceFormat]:
    """All formats by name, those of installed packages included."""
    for entry_point in entry_points(group="rectuner.space_formats"):
        if entry_point.name not in _formats:
            register(entry_point.load())
    return dict(_formats)


def parse(text: str, filename: str = "hyper.test", format: str | None = None) -> SearchSpace:
    """The space that ``text`` declares, read in ``format``, by default the one that suffix and content show."""
    known = formats()
    text = text.removeprefix("\ufeff")
    if format is None:
        format = _format_of(text, filename, known.values())
    if format not in known:
        raise SpaceError(f"There is no params file format {format!r}.", f"Formats: {', '.join(known)}.")
    return known[format].parse(text, filename)


def from_document(document: Any, file: str | None = None) -> SearchSpace:
    """The space of a JSON document: ``{"parameters": [...]}``, or RecBole's params_dict.

    Raises:
        SpaceError: the document has another shape.
    """
    if params_dict.is_form(document):
        return params_dict.from_mapping(document, file)
    return SearchSpace.from_json(document, file=file)


def _format_of(text: str, filename: str, known: Iterable[SpaceFormat]) -> str:
    """The format of the file's suffix; a text without one (or a hyper.test that is none) shows it by its beginning."""
    suffix = Path(filename).suffix.lower()
    named = next((f.name for f in known if suffix in f.suffixes), "hyper_test")
    if named != "hyper_test":
        return named
    if text.lstrip().startswith("{"):
        return "json"
    return "params_dict" if params_dict.recognises(text) else "hyper_test"


def load(path: str | Path, format: str | None = None) -> SearchSpace:
    """The space in a file (UTF-8).

    Raises:
        SpaceError: no such file, not readable, not UTF-8, or not a search space.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SpaceError("There is no such params file.", "Check the path.", file=str(path)) from None
    except OSError as error:
        raise SpaceError(
            f"The params file can't be read: {error.strerror}.",
            "Name a file that you may read.",
            file=str(path),
        ) from error
    return parse(decode(content, str(path)), str(path), format)


def decode(content: bytes, filename: str) -> str:
    """The text of a params file's bytes; SpaceError when it is too long or not UTF-8."""
    if len(content) > MAX_BYTES:
        raise SpaceError(f"A params file has at most {MAX_BYTES:,} bytes.", "Is it the right file?", file=filename)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        raise SpaceError(
            f"Byte 0x{content[error.start]:02x} is not UTF-8.",
            "Save the file as UTF-8.",
            file=filename,
            line=before.count(b"\n") + 1,
            column=error.start - before.rfind(b"\n"),
        ) from None


def _parse_json(text: str, filename: str) -> SearchSpace:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise SpaceError(
            f"Not JSON: {error.msg}.",
            "Write what `tuner space FILE --json` prints.",
            file=filename,
            line=error.lineno,
            column=error.colno,
        ) from None
    except ValueError as error:  # a whole number of thousands of digits
        raise SpaceError(f"Not JSON that can be read: {error}.", "Is it the right file?", file=filename) from None
    except RecursionError:
        raise SpaceError("The lists are nested too deeply.", "Is it the right file?", file=filename) from None
    return from_document(document, filename)


register(SpaceFormat("hyper_test", (".test",), hyper_format.parse))
register(SpaceFormat("json", (".json",), _parse_json))
register(SpaceFormat("params_dict", (".yaml", ".yml"), params_dict.parse))
