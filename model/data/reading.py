"""From a data set's name to its files, and from these to checked, filtered tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from model.config import Config
from model.data.atomic import Table, read_table
from model.data.catalog import locate
from model.data.filtering import filter_tables
from model.defaults import DATA
from model.errors import DataError


@dataclass(frozen=True)
class Files:
    """The files that a configuration reads.

    Attributes:
        folder: where they are.
        inter: one file, or the three of ``benchmark_filename``.
        sides: ``.item`` and ``.user`` where they exist and are wanted, by suffix.
    """

    folder: Path
    inter: tuple[Path, ...]
    sides: dict[str, Path]


def find_files(config: Config) -> Files:
    """The files of the data set that ``config`` names.

    Raises:
        DatasetNotFound, DataError: they are missing; the message says where, and what to change.
    """
    folder = locate(config.dataset, config["data_path"])
    suffixes = config["benchmark_filename"] or []
    inter = tuple(folder / f"{config.dataset}.{suffix}.inter" for suffix in suffixes)
    inter = inter or (folder / f"{config.dataset}.inter",)
    missing = [path for path in inter if not path.exists()]
    if missing:
        raise DataError(f"{missing[0]}: there is no such file. Check benchmark_filename.")
    sides = {}
    for side in ("item", "user"):
        path = folder / f"{config.dataset}.{side}"
        if path.exists() and (config["load_col"] is None or side in config["load_col"]):
            sides[side] = path
    return Files(folder, inter, sides)


def fingerprint(files: Files, config: Config) -> str:
    """SHA-256 of the files' content and of every configuration key that shapes the data."""
    digest = hashlib.sha256()
    for path in (*files.inter, *files.sides.values()):
        with path.open("rb") as content:
            digest.update(path.name.encode() + b"\0" + hashlib.file_digest(content, "sha256").digest())
    # Where the files lie does not matter, what is read from them does.
    shaping = {parameter.name: config[parameter.name] for parameter in DATA if parameter.name != "data_path"}
    # What is ranked in an evaluation shapes no sample.
    shaping["split"] = {key: value for key, value in config["eval_args"].items() if key != "mode"}
    if "TS" in config["eval_args"]["split"]:
        shaping["rounding"] = 2  # of its shares; there was another one before
    digest.update(json.dumps(shaping, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def read_tables(files: Files, config: Config) -> tuple[dict[str, Table], list[int]]:
    """The tables ``inter``, ``item`` and ``user``, as far as there are files, and how many rows each inter file had.

    They are filtered; benchmark files are taken as they are.

    Raises:
        DataError: a file is malformed, lacks a column, or nothing is left; the message says what to change.
    """
    parts = [read_table(path, "inter", config) for path in files.inter]
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    if config["benchmark_filename"]:
        _check_ready(parts, config)
    tables = {"inter": Table(parts[0].path, parts[0].types, frame)}
    tables |= {side: read_table(path, side, config) for side, path in files.sides.items()}
    _check_columns(tables, config)
    for side in files.sides:
        # Before any filter: a later row of the same id never counts, whatever happens to the first.
        first = tables[side].frame.drop_duplicates(config[f"{side.upper()}_ID_FIELD"], keep="first")
        tables[side] = tables[side].with_frame(first)
    if not config["benchmark_filename"]:
        tables = filter_tables(tables, config)
    return tables, [len(part.frame) for part in parts]


def _check_ready(parts: Sequence[Table], config: Config) -> None:
    """Refuse ready files of which one lacks a column that makes a row a sample."""
    item = config["ITEM_ID_FIELD"]
    wanted = {config["USER_ID_FIELD"]: "token", item: "token", f"{item}{config['LIST_SUFFIX']}": "token_seq"}
    for part in parts:
        for name, kind in wanted.items():
            if part.types.get(name) != kind:
                raise DataError(
                    f"{part.path}, line 1: there is no loaded column {name}:{kind}, which every file of "
                    f"benchmark_filename needs. Loaded: {', '.join(part.types) or 'none'}."
                )


def _check_columns(tables: dict[str, Table], config: Config) -> None:
    needed = {
        "inter": ["USER_ID_FIELD", "ITEM_ID_FIELD"],
        "user": ["USER_ID_FIELD"],
        "item": ["ITEM_ID_FIELD"],
    }
    if not config["benchmark_filename"]:
        needed["inter"].append("TIME_FIELD")
    for suffix, table in tables.items():
        for key in needed[suffix]:
            if config[key] not in table.types:
                raise DataError(
                    f"{table.path}: there is no loaded column {config[key]!r} ({key}). "
                    f"Loaded: {', '.join(table.types) or 'none'}. Name the right column in {key}, or load it."
                )
            if key != "TIME_FIELD" and table.types[config[key]] != "token":
                raise DataError(f"{table.path}, line 1: column {config[key]!r} ({key}) holds ids and must be a token.")
    known = {name for table in tables.values() for name in table.types}
    for name in config["normalize_field"] or []:
        if name not in known:
            raise DataError(f"normalize_field: there is no loaded column {name!r}. Loaded: {', '.join(sorted(known))}.")
    time = config["TIME_FIELD"]
    if not config["benchmark_filename"] and tables["inter"].types[time] != "float":
        raise DataError(f"{tables['inter'].path}: column {time!r} orders the interactions and must be a float.")
