"""Ready splits: three ``.inter`` files (``benchmark_filename``) whose rows are samples, histories included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from model.config import Config
from model.data.atomic import Table, row_line
from model.data.fields import Ragged, Vocabulary
from model.data.sequences import Samples
from model.errors import DataError


def benchmark_split(
    inter: Table, paths: tuple[Path, ...], sizes: list[int], known: Mapping[str, Vocabulary], config: Config
) -> tuple[Samples, Samples, Samples]:
    """Train, valid and test exactly as three files give them, histories included.

    Args:
        inter: their rows, one file after the other.
        sizes: how many rows each has.

    Raises:
        DataError: there are not three, they lack the histories, or rows are no samples: without a user, a target or a
            history, or with a longer one than models take. Names the first such line of each file.
    """
    if len(sizes) != 3:
        raise DataError(f"benchmark_filename: needs three suffixes (train, valid, test), got {len(sizes)}.")
    user, item = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
    histories = f"{item}{config['LIST_SUFFIX']}"
    if histories not in (config["alias_of_item_id"] or []):
        raise DataError(
            f"{inter.path}: {histories} must share its ids with {item}; set alias_of_item_id: [{histories}]."
        )
    encoded = Ragged.of([known[item].encode(row) for row in inter.frame[histories]])
    samples = Samples(
        items=encoded.values,
        start=encoded.offsets[:-1],
        length=encoded.offsets.diff(),
        target=torch.from_numpy(known[item].encode(inter.frame[item])),
        user=torch.from_numpy(known[user].encode(inter.frame[user])),
        time=torch.zeros(len(inter.frame)),
    )
    train, valid, test = (samples.select(rows) for rows in torch.split(torch.arange(len(samples)), sizes))
    problems = [
        problem
        for path, part in zip(paths, (train, valid, test), strict=True)
        for problem in _problems(path, part, histories, config)
    ]
    if problems:
        raise DataError(" ".join(problems))
    return train, valid, test


def _problems(path: Path, samples: Samples, histories: str, config: Config) -> Iterator[str]:
    """What is wrong with the rows of one file, each with its first line."""
    longest = config["MAX_ITEM_LIST_LENGTH"]
    most = int(samples.length.max()) if len(samples) else 0
    missing = "is missing, so that the row is no sample. Write it, or take the row out."
    checks = {
        f"{config['USER_ID_FIELD']} {missing}": samples.user == 0,
        f"{config['ITEM_ID_FIELD']} {missing}": samples.target == 0,
        f"{histories} is empty, and models need a history. Take the row out.": samples.length == 0,
        f"{histories} has more items than MAX_ITEM_LIST_LENGTH = {longest}, and ready histories are not cut. Set "
        f"MAX_ITEM_LIST_LENGTH: {most}, or seq_len: {{{histories}: {longest}}}, which keeps the first {longest} of "
        "each.": samples.length > longest,
    }
    for told, wrong in checks.items():
        rows = np.flatnonzero(wrong.numpy())
        if len(rows):
            number = f" ({len(rows)} rows of this file are like that.)" if len(rows) > 1 else ""
            yield f"{path}, line {row_line(path, int(rows[0]), config)}: {told}{number}"
