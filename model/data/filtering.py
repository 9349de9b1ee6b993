"""Filter the rows of a data set, in RecBole's order.

Missing ids, duplicates, value intervals, users and items that are not listed, interaction counts. The order matters,
since every step changes what the next one sees, and ids are given in the order of the rows that are left.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np

from model.config import Config
from model.data.atomic import Table
from model.errors import DataError

_LOG = logging.getLogger(__name__)

Tables = dict[str, Table]  # by suffix: inter, item, user


@dataclass(frozen=True)
class Interval:
    """A union of intervals such as ``[1,2);[4,5]``."""

    parts: tuple[tuple[float, float, bool, bool], ...]  # low, high, low included, high included

    @classmethod
    def parse(cls, text: object, key: str) -> Interval:
        """Read RecBole's notation; of the setting ``key``, pieces that are none are skipped with a warning."""
        if text is None:
            return cls(())
        parts = []
        for piece in filter(str.strip, str(text).split(";")):
            match = re.fullmatch(r"\s*([\[(])\s*([^,]+?)\s*,\s*([^,]+?)\s*([\])])\s*", piece)
            try:
                if match is None:
                    raise ValueError(piece)
                parts.append((float(match[2]), float(match[3]), match[1] == "[", match[4] == "]"))
            except ValueError:
                _LOG.warning("%s: %r is no interval and is ignored; write e.g. '[5,inf)'.", key, piece)
        return cls(tuple(parts))

    def contains(self, values: np.ndarray) -> np.ndarray:
        """Which values lie inside; NaN never does. No valid part means no limit."""
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


def filter_tables(tables: Tables, config: Config) -> Tables:
    """All filters in order.

    Raises:
        DataError: an option is malformed, or nothing is left.
    """
    tables = _drop_missing_ids(tables, config)
    tables = _drop_duplicates(tables, config)
    tables = _keep_values(tables, config)
    if config["filter_inter_by_user_or_item"]:
        tables = _keep_listed(tables, config)
    tables = _keep_counts(tables, config)
    for suffix, table in tables.items():
        if table.frame.empty:
            raise DataError(
                f"{table.path}: no row of .{suffix} is left after filtering. "
                "Loosen val_interval, user_inter_num_interval or item_inter_num_interval."
            )
    return tables


def _restrict(tables: Tables, suffix: str, keep: np.ndarray) -> Tables:
    table = tables[suffix]
    return {**tables, suffix: table.with_frame(table.frame[keep])}


def _drop_missing_ids(tables: Tables, config: Config) -> Tables:
    for field, side in ((config["USER_ID_FIELD"], "user"), (config["ITEM_ID_FIELD"], "item")):
        for suffix in (side, "inter"):
            if suffix in tables:
                tables = _restrict(tables, suffix, tables[suffix].frame[field].notna().to_numpy())
    return tables


def _drop_duplicates(tables: Tables, config: Config) -> Tables:
    keep = config["rm_dup_inter"]
    if keep is None:
        return tables
    if keep not in ("first", "last", False):
        raise DataError(f"rm_dup_inter = {keep!r}: use first, last, or False to keep none.")
    frame = tables["inter"].frame
    if config["TIME_FIELD"] in frame:
        # RecBole's sort leaves the order of equal times to the processor; a stable sort leaves it to the file.
        frame = frame.sort_values(config["TIME_FIELD"], kind="stable")
    frame = frame.drop_duplicates([config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]], keep=keep)
    return {**tables, "inter": tables["inter"].with_frame(frame)}


def _keep_values(tables: Tables, config: Config) -> Tables:
    for field, wanted in (config["val_interval"] or {}).items():
        owners = [suffix for suffix, table in tables.items() if field in table.types]
        if not owners:
            known = sorted({name for table in tables.values() for name in table.types})
            raise DataError(
                f"val_interval: there is no loaded column {field!r}. Loaded: {', '.join(known)}; see load_col."
            )
        for suffix in owners:
            column = tables[suffix].frame[field]
            if tables[suffix].types[field].endswith("_seq"):
                raise DataError(
                    f"val_interval: {field!r} holds sequences; only token and float columns can be filtered."
                )
            if tables[suffix].types[field] == "float":
                keep = Interval.parse(wanted, f"val_interval of {field}").contains(column.to_numpy(float))
            else:
                allowed = {str(value) for value in (wanted if isinstance(wanted, list | tuple) else [wanted])}
                keep = column.isin(allowed).to_numpy()
            tables = _restrict(tables, suffix, keep)
    return tables


def _keep_listed(tables: Tables, config: Config) -> Tables:
    for field, side in ((config["USER_ID_FIELD"], "user"), (config["ITEM_ID_FIELD"], "item")):
        if side in tables:
            listed = tables["inter"].frame[field].isin(set(tables[side].frame[field]))
            tables = _restrict(tables, "inter", listed.to_numpy())
    return tables


def _keep_counts(tables: Tables, config: Config) -> Tables:
    sides = {
        side: (config[f"{side.upper()}_ID_FIELD"], Interval.parse(config[key], key))
        for side, key in (("user", "user_inter_num_interval"), ("item", "item_inter_num_interval"))
        if config[key] is not None
    }
    while True:
        # Both sides are judged before anything is dropped, and then again until nobody is left to ban.
        banned = {side: _outside(tables, side, field, interval) for side, (field, interval) in sides.items()}
        if not any(banned.values()):
            return tables
        for side, ids in banned.items():
            field = sides[side][0]
            for suffix in (side, "inter"):
                if suffix in tables:
                    tables = _restrict(tables, suffix, ~tables[suffix].frame[field].isin(ids).to_numpy())


def _outside(tables: Tables, side: str, field: str, interval: Interval) -> set[Hashable]:
    counts: Mapping[Hashable, int] = tables["inter"].frame[field].value_counts().to_dict()
    numbers = np.array(list(counts.values()), dtype=float)
    inside = interval.contains(numbers)
    banned = {name for name, keep in zip(counts, inside, strict=True) if not keep}
    if side in tables:
        banned |= {name for name in tables[side].frame[field] if counts.get(name, 0) < interval.lowest}
    return banned
