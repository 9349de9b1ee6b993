"""Filter the rows of a data set, in RecBole's order.

Missing ids, duplicates, value intervals, users and items that are not listed, interaction counts. The order matters,
since every step changes what the next one sees, and ids are given in the order of the rows that are left.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np

from model.config import Config
from model.data.atomic import Table
from model.errors import ConfigError, DataError
from model.interval import Interval

Tables = dict[str, Table]  # by suffix: inter, item, user


def filter_tables(tables: Tables, config: Config) -> Tables:
    """All filters in order.

    Raises:
        DataError: an option is malformed, or nothing is left.
        ConfigError: what should be an interval is none.
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
                keep = _interval(wanted, field).contains(column.to_numpy(float))
            else:
                allowed = {str(value) for value in (wanted if isinstance(wanted, list | tuple) else [wanted])}
                keep = column.isin(allowed).to_numpy()
            tables = _restrict(tables, suffix, keep)
    return tables


def _interval(wanted: object, field: str) -> Interval:
    if isinstance(wanted, list | tuple):
        # RecBole takes [3, 5] for an interval and [3, 4, 5] for nothing; both were meant as values.
        raise ConfigError(
            f"val_interval: {field} = {wanted!r} lists values, and {field} is a float. Write an interval in quotes, "
            f"e.g. {{{field}: '[3,5]'}}, several as '[3,3];[5,5]', or make it a token in line 1 of its file."
        )
    return Interval.parse(wanted, f"val_interval: {field}")


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
