"""Read RecBole's atomic files (``.inter``, ``.item``, ``.user``) into columns.

The first line names every column as ``name:type``. Texts are kept as they are; what pandas calls missing (an empty
field, ``NA``, ``null``, ``None``, ``nan``, ...) is missing here too, because RecBole reads with pandas.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from model.config import Config
from model.errors import DataError

FieldType = Literal["token", "token_seq", "float", "float_seq"]


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
    header = _read_header(path, config)
    columns = _wanted_columns(header, suffix, config)
    separator = config["field_separator"]
    kinds = {name: ("float64" if name in columns and header[name] == "float" else "object") for name in header}
    try:
        with warnings.catch_warnings():
            # A row with too many fields would shift columns silently.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path,
                sep=separator,
                engine="c" if len(separator) == 1 else "python",
                names=list(header),
                header=None,
                skiprows=1,
                dtype=kinds,
                index_col=False,
                encoding=config["encoding"] or "utf-8-sig",
            )
    except (ValueError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise DataError(f"{path}: can't be read as a table: {error}. Check separators and quotes.") from error
    frame = frame[columns]
    for name in columns:
        if header[name] in ("token_seq", "float_seq"):
            frame[name] = _split(frame[name], header[name], config)
    return Table(path, {name: header[name] for name in columns}, frame)


def _read_header(path: Path, config: Config) -> dict[str, FieldType]:
    try:
        with path.open(encoding=config["encoding"] or "utf-8-sig") as file:
            line = file.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: can't be read: {error}.") from error
    header: dict[str, FieldType] = {}
    for column in line.split(config["field_separator"]):
        name, colon, kind = column.partition(":")
        if not colon or kind not in get_args(FieldType):
            raise DataError(
                f"{path}, line 1: column {column!r} is not name:type. Types: {', '.join(get_args(FieldType))}."
            )
        header[name] = kind  # type: ignore[assignment]
    return header


def _wanted_columns(header: dict[str, FieldType], suffix: str, config: Config) -> list[str]:
    load, unload = ((config[key] or {}).get(suffix) for key in ("load_col", "unload_col"))
    if load is not None and unload is not None and config["load_col"] is not None:
        raise DataError(f"load_col and unload_col both name columns of .{suffix}; keep one of them.")
    if unload is not None:
        return [name for name in header if name not in unload]
    if load is None or load == "*":
        return list(header)
    return [name for name in header if name in load]


def _split(column: pd.Series, kind: FieldType, config: Config) -> pd.Series:
    longest = (config["seq_len"] or {}).get(column.name)
    separator = config["seq_separator"]

    def pieces(value: object) -> Sequence[str] | Sequence[float]:
        texts = [piece for piece in value.split(separator) if piece][:longest] if isinstance(value, str) else []
        return [float(text) for text in texts] if kind == "float_seq" else texts

    return pd.Series([pieces(value) for value in column], index=column.index, dtype=object)
