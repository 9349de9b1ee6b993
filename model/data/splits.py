"""Divide samples into train, valid and test.

Samples come in order of time. Users are taken in order of their first sample, each user's samples stay in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from model.data.sequences import Samples
from model.eval_args import check_split

Split = tuple[Samples, Samples, Samples]


def split_samples(samples: Samples, eval_args: Mapping[str, Any]) -> Split:
    """Split as ``eval_args["split"]`` says: LS (leave one out), RS (ratio) or TS (ratio of time).

    LS and TS take each user by himself. RS does unless ``group_by`` is none: then all samples are one group.

    Raises:
        ConfigError: the split is none of these, or its argument is malformed.
    """
    kind, argument = check_split(eval_args["split"])
    groups = _groups(samples, eval_args["group_by"] if kind == "RS" else "user")
    match kind:
        case "LS":
            parts = [_leave_one_out(len(group), argument) for group in groups]
        case "RS":
            parts = [_by_ratio(len(group), argument) for group in groups]
        case _:
            parts = _by_time(samples, groups, argument)
    rows: list[list[np.ndarray]] = [[], [], []]
    for group, sizes in zip(groups, parts, strict=True):
        cuts = np.cumsum(sizes)[:-1]
        for part, chosen in zip(rows, np.split(group, cuts), strict=True):
            part.append(chosen)
    chosen_rows = [torch.from_numpy(np.concatenate(part) if part else np.zeros(0, np.int64)) for part in rows]
    train, valid, test = (samples.select(part) for part in chosen_rows)
    return train, valid, test


def _groups(samples: Samples, group_by: str | None) -> list[np.ndarray]:
    if group_by in (None, "none"):
        return [np.arange(len(samples))]
    users = samples.user.numpy()
    _, first, inverse = np.unique(users, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[inverse]  # users by first appearance
    rows = np.argsort(rank, kind="stable")
    return np.split(rows, np.flatnonzero(np.diff(rank[rows])) + 1) if len(rows) else []


def _leave_one_out(number: int, argument: str) -> list[int]:
    match argument:
        case "valid_only":
            test, valid = 0, int(number >= 2)
        case "test_only":
            test, valid = int(number >= 2), 0
        case _:
            # Two samples: the later one is for the test, and none is left for validation.
            test, valid = int(number >= 2), int(number >= 3)
    return [number - valid - test, valid, test]


def _by_ratio(number: int, ratios: Sequence[float]) -> list[int]:
    sizes = [int(ratio * number) for ratio in ratios]
    sizes[0] = number - sum(sizes[1:])
    for part in reversed(range(1, len(ratios))):
        if sizes[0] <= 1:
            break
        if 0 < ratios[part] * number < 1:
            sizes[part] += 1
            sizes[0] -= 1
    return sizes


def _by_time(samples: Samples, groups: list[np.ndarray], ratios: Sequence[float]) -> list[list[int]]:
    if not len(samples):
        return [[0, 0, 0] for _ in groups]
    times = samples.time.numpy()
    boundary = np.percentile(times, 100 * (1 - ratios[2]))
    parts = []
    for group in groups:
        early = int((times[group] <= boundary).sum())
        # The division comes first, as in RecBole: the other order rounds some products to the next whole number.
        train = int(early * (ratios[0] / (1 - ratios[2]))) if ratios[2] < 1 else 0
        parts.append([train, early - train, len(group) - early])
    return parts
