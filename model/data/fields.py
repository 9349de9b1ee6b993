"""Texts -> ids, and the features of users and items by id.

Ids are given in the order in which texts first appear: rows of ``.inter`` first, then of ``.user`` or ``.item``, then
alias columns. Id 0 is the padding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from model.config import Config
from model.data.atomic import FieldType, Table
from model.errors import DataError

PAD = "[PAD]"


@dataclass(frozen=True)
class Vocabulary:
    """The texts of one group of columns; position is id, position 0 is the padding."""

    tokens: tuple[str, ...]
    ids: dict[str, int]

    @classmethod
    def of(cls, texts: Iterable[object]) -> Vocabulary:
        """Ids in order of first appearance; missing values get none."""
        distinct = dict.fromkeys(text for text in texts if isinstance(text, str))
        tokens = (PAD, *distinct)
        return cls(tokens, {token: number for number, token in enumerate(tokens) if number})

    def encode(self, texts: Iterable[object]) -> np.ndarray:
        """int64 ids; 0 for missing values."""
        return np.fromiter((self.ids.get(text, 0) if isinstance(text, str) else 0 for text in texts), np.int64)


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths: row i is ``values[offsets[i]:offsets[i + 1]]``."""

    values: Tensor
    offsets: Tensor

    @classmethod
    def of(cls, rows: Sequence[np.ndarray]) -> Ragged:
        """Join the rows."""
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        joined = np.concatenate(rows) if len(rows) else np.zeros(0, np.int64)
        return cls(torch.from_numpy(joined), torch.from_numpy(offsets))

    def padded(self) -> Tensor:
        """[rows, longest], right padded with 0."""
        lengths = self.offsets.diff()
        width = int(lengths.max()) if len(lengths) else 0
        columns = torch.arange(width)
        mask = columns < lengths[:, None]
        out = torch.zeros(len(lengths), width, dtype=self.values.dtype)
        out[mask] = self.values
        return out


def vocabularies(tables: dict[str, Table], config: Config) -> dict[str, Vocabulary]:
    """One vocabulary per token column; user ids and item ids share theirs across files and aliases."""
    found: dict[str, Vocabulary] = {}
    for side in ("user", "item"):
        field = config[f"{side.upper()}_ID_FIELD"]
        aliases = config[f"alias_of_{side}_id"] or []
        columns = [tables[s].frame[field] for s in ("inter", side) if s in tables and field in tables[s].types]
        columns += [_flat(tables["inter"], alias) for alias in aliases]
        shared = Vocabulary.of(chain.from_iterable(columns))
        found |= dict.fromkeys((field, *aliases), shared)
    for table in tables.values():
        for name, kind in table.types.items():
            if name not in found and kind in ("token", "token_seq"):
                found[name] = Vocabulary.of(_flat(table, name))
    return found


def _flat(table: Table, name: str) -> Iterable[object]:
    if name not in table.types:
        raise DataError(f"{table.path}: there is no column {name!r}, which is said to hold ids. Check alias_of_*.")
    column = table.frame[name]
    return chain.from_iterable(column) if table.types[name] == "token_seq" else column


def features_by_id(
    table: Table | None, id_field: str, vocabulary: dict[str, Vocabulary], config: Config
) -> dict[str, Tensor | Ragged]:
    """The columns of ``.user`` or ``.item``, one row per id (row 0: the padding).

    Tokens are int64 ids (missing 0), floats float32 (missing: the column's mean), sequences are ragged.
    """
    if table is None:
        return {}
    number = len(vocabulary[id_field].tokens)
    frame = table.frame
    row_of = np.full(number, -1)
    row_of[vocabulary[id_field].encode(frame[id_field])] = np.arange(len(frame))
    row_of[0] = -1
    features: dict[str, Tensor | Ragged] = {id_field: torch.arange(number)}
    for name, kind in table.types.items():
        if name != id_field:
            features[name] = _feature(frame[name], kind, row_of, vocabulary.get(name), name, config)
    return features


def _feature(
    column: pd.Series,
    kind: FieldType,
    row_of: np.ndarray,
    tokens: Vocabulary | None,
    name: str,
    config: Config,
) -> Tensor | Ragged:
    known = row_of >= 0
    if kind == "token":
        assert tokens is not None
        ids = np.zeros(len(row_of), np.int64)
        ids[known] = tokens.encode(column)[row_of[known]]
        return torch.from_numpy(ids)
    if kind == "float":
        values = np.full(len(row_of), np.nan)
        values[known] = column.to_numpy(float)[row_of[known]]
        return torch.from_numpy(complete(values, name, config))
    empty = np.zeros(0, np.int64 if kind == "token_seq" else np.float32)
    rows = [empty] * len(row_of)
    cells = list(column)
    for target in np.flatnonzero(known):
        cell = cells[row_of[target]]
        rows[target] = tokens.encode(cell) if tokens is not None else np.asarray(cell, np.float32)
    return Ragged.of(rows)


def complete(values: np.ndarray, name: str, config: Config) -> np.ndarray:
    """A float column as RecBole hands it on: missing values become the mean, then optional min-max scaling.

    Returns float32, the precision in which RecBole also sorts by time.
    """
    if np.isnan(values).any():
        values = np.where(np.isnan(values), np.nanmean(values) if not np.isnan(values).all() else 0.0, values)
    if config["normalize_all"] or name in (config["normalize_field"] or []):
        low, high = values.min(), values.max()
        values = np.ones_like(values) if low == high else (values - low) / (high - low)
    return values.astype(np.float32)
