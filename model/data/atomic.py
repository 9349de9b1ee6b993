"""Read RecBole's atomic files (``.inter``, ``.item``, ``.user``) into columns.

The first line names every column as ``name:type``, every other line is a row. Texts are kept as they are; what pandas
calls missing (an empty field, ``NA``, ``null``, ``None``, ``nan``, ...) is missing here too, because RecBole reads with
pandas. A field that begins with a quote ends at the next one, and both must be on one line.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from model.config import Config
from model.errors import DataError

FieldType = Literal["token", "token_seq", "float", "float_seq"]
# Texts that pandas documents as missing; those that float() reads are not repeated here.
_MISSING = frozenset(["", "NA", "N/A", "n/a", "null", "NULL", "None", "<NA>", "#N/A", "#NA", "#N/A N/A"])
# From an opening quote to the one that closes it; two quotes in it stand for one.
_QUOTED = re.compile(r'"(?:[^"]|"")*"(?!")')
DEFAULT_ENCODING = "utf-8-sig"  # UTF-8, with or without the mark that spreadsheets put in front


@dataclass(frozen=True)
class Table:
    """One file: its rows and what its columns are.

    ``frame`` holds token columns as texts (missing: NaN), float columns as float64, sequence columns as lists.
    """

    path: Path
    types: dict[str, FieldType]
    frame: pd.DataFrame

    def with_frame(self, frame: pd.DataFrame) -> Table:
        """The same file with other rows; row labels are numbered afresh."""
        return Table(self.path, self.types, frame.reset_index(drop=True))


def read_table(path: Path, suffix: str, config: Config) -> Table:
    """Read the columns of one file that ``load_col`` and ``unload_col`` ask for.

    Raises:
        DataError: the file or its header is malformed; the message names the file and what to change.
    """
    header = read_header(path, config)
    columns = _wanted_columns(header, suffix, config)
    separator = config["field_separator"]
    # Only the fast reader takes so many rows; it knows single bytes as separators, and nothing of longer ones.
    fast = len(separator) == 1 and separator.isascii()
    if len(separator) == 1:
        _refuse_open_quotes(path, header, config)
    try:
        with warnings.catch_warnings():
            # A row with too many fields would shift columns silently.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path,
                sep=separator,
                engine="c" if fast else "python",
                names=list(header),
                header=None,
                skiprows=1,
                dtype={name: "float64" if name in columns and header[name] == "float" else "object" for name in header},
                index_col=False,
                encoding=config["encoding"] or DEFAULT_ENCODING,
            )
    except (ValueError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        problem = find_problem(path, header, columns, config)
        reason = str(error).rstrip(". ")
        raise DataError(
            problem or f"{path}: can't be read as a table: {reason}. Check separators and quotes."
        ) from error
    frame = frame[columns]
    for name in columns:
        if header[name] in ("token_seq", "float_seq"):
            frame[name] = _split(frame[name], header[name], path, config)
    return Table(path, {name: header[name] for name in columns}, frame)


def read_header(path: Path, config: Config) -> dict[str, FieldType]:
    """The columns of a file with their types.

    Raises:
        DataError: it can't be read, or line 1 does not name columns; says what to change.
    """
    for key in ("field_separator", "seq_separator"):
        if not config[key]:
            raise DataError(f"{key} is empty, so nothing can be told apart in {path}. Set it to one character.")
    try:
        with path.open(encoding=config["encoding"] or DEFAULT_ENCODING) as file:
            line = file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError, LookupError) as error:
        raise DataError(f"{path}: can't be read: {error}. Check the file, and the setting encoding.") from error
    if '"' in line:
        raise DataError(f"{path}, line 1: names of columns are written without quotes. Take the quotes out.")
    header: dict[str, FieldType] = {}
    for column in line.split(config["field_separator"]):
        name, _, kind = column.partition(":")
        if not _is_column(column):
            raise DataError(f"{path}, line 1: {_no_column(column, line)}")
        if name in header:
            raise DataError(f"{path}, line 1: there are two columns {name!r}. Rename one of them.")
        header[name] = kind  # type: ignore[assignment]
    return header


def _is_column(text: str) -> bool:
    return text.partition(":")[2] in get_args(FieldType)


def _no_column(column: str, line: str) -> str:
    """What is wrong with a header of which ``column`` is no ``name:type``."""
    for separator in ("\t", ",", ";", "|", " "):
        pieces = line.split(separator)
        if len(pieces) > 1 and all(map(_is_column, pieces)):
            return f"the columns are separated by {separator!r}. Set field_separator: {separator!r}."
    types = f"Types: {', '.join(get_args(FieldType))}."
    if ":" not in line:
        shown = line if len(line) <= 60 else f"{line[:60]}..."
        return f"{shown!r} names no columns. The first line must name each as name:type, e.g. user_id:token. {types}"
    return f"column {column!r} is not name:type. {types}"


def _wanted_columns(header: dict[str, FieldType], suffix: str, config: Config) -> list[str]:
    load, unload = ((config[key] or {}).get(suffix) for key in ("load_col", "unload_col"))
    if load is not None and unload is not None:
        raise DataError(f"load_col and unload_col both name columns of .{suffix}; keep one of them.")
    if unload is not None:
        return [name for name in header if name not in unload]
    if load is None or load == "*":
        return list(header)
    return [name for name in header if name in load]


def _split(column: pd.Series, kind: FieldType, path: Path, config: Config) -> pd.Series:
    longest = (config["seq_len"] or {}).get(column.name)
    if longest is not None and (type(longest) is not int or longest < 0):
        raise DataError(f"seq_len: {column.name} = {longest!r}: write a whole number, or leave the column out.")
    separator = config["seq_separator"]

    def pieces(value: object) -> Sequence[str] | Sequence[float]:
        texts = [piece for piece in value.split(separator) if piece][:longest] if isinstance(value, str) else []
        try:
            return [float(text) for text in texts] if kind == "float_seq" else texts
        except ValueError as error:
            raise DataError(f"{path}: column {column.name!r} (float_seq): {value!r} is not made of numbers.") from error

    return pd.Series([pieces(value) for value in column], index=column.index, dtype=object)


def _refuse_open_quotes(path: Path, header: dict[str, FieldType], config: Config) -> None:
    """Refuse a field whose quote is not closed on its line: a reader would take the next lines into it.

    Raises:
        DataError: names the line and the column.
    """
    with path.open("rb") as file:
        if not any(b'"' in chunk for chunk in iter(lambda: file.read(1 << 20), b"")):
            return  # most files have none, and looking at every line takes as long as reading
    for number, line in _lines(path, config):
        place = _open_quote(line, config["field_separator"]) if '"' in line else None
        if place is not None:
            name = list(header)[place] if place < len(header) else f"field {place + 1}"
            raise DataError(
                f"{path}, line {number}: {name} opens a quote that is not closed on this line, and a row is one line. "
                'Close it, put the field on one line, or write a text that begins with a quote as """so".'
            )


def _open_quote(line: str, separator: str) -> int | None:
    """Which field (from 0) opens a quote that the line does not close; None when there is none."""
    for place, field in enumerate(_fields(line, separator)):
        if field.startswith('"') and _QUOTED.match(field) is None:
            return place
    return None


def _fields(line: str, separator: str) -> list[str]:
    """The fields of a line, quotes included; separators inside quotes separate nothing."""
    fields: list[str] = []
    while True:
        quoted = _QUOTED.match(line)
        if quoted is None and line.startswith('"'):
            return [*fields, line]
        cut = line.find(separator, quoted.end() if quoted else 0)
        if cut < 0:
            return [*fields, line]
        fields.append(line[:cut])
        line = line[cut + 1 :]


def _lines(path: Path, config: Config) -> Iterator[tuple[int, str]]:
    """The rows of a file with the numbers of their lines, without line ends; nothing of what can't be decoded."""
    try:
        with path.open(encoding=config["encoding"] or DEFAULT_ENCODING) as file:
            for number, line in enumerate(file, start=1):
                if number > 1:
                    yield number, line.rstrip("\r\n")
    except UnicodeDecodeError:
        return


def row_line(path: Path, row: int, config: Config) -> int:
    """The number of the line (from 1) that holds a row (from 0) of the table: empty lines are no rows."""
    for number, line in _lines(path, config):
        if line.strip():
            row -= 1
        if row < 0:
            return number
    return 0


def find_problem(path: Path, header: dict[str, FieldType], columns: Sequence[str], config: Config) -> str | None:
    """The first line that is no row of the table, in words; None when the trouble is of another kind.

    Called once reading has failed, because a fast reader does not say where. Longer separators are patterns, which
    are left to the reader's own words.
    """
    separator = config["field_separator"]
    if len(separator) > 1:
        return None
    numbers = [(place, name) for place, name in enumerate(header) if name in columns and header[name] == "float"]
    for number, line in _lines(path, config):
        fields = _fields(line, separator)
        if fields == [""]:
            continue
        if len(fields) > len(header):
            names = f"line 1 names {len(header)} columns"
            return f"{path}, line {number}: has {len(fields)} fields, {names}. Check separators and quotes."
        for place, name in numbers:
            text = fields[place] if place < len(fields) else ""
            if not _is_number(text.strip('"')):
                return f"{path}, line {number}: {name} = {text!r} is not a number. {_way_to_a_number(text)}"
    return None


def _way_to_a_number(text: str) -> str:
    if re.fullmatch(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([ T].*)?", text.strip('" ')):
        return "It is a date; write times as numbers, e.g. as seconds since 1970."
    return "Check separators and quotes, or give the column another type in line 1."


def _is_number(text: str) -> bool:
    """Whether pandas reads ``text`` as a float; what it calls missing is one too."""
    try:
        float(text)
    except ValueError:
        return text in _MISSING
    return True
