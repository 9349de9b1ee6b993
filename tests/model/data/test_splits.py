"""Splits as the contract has them, beyond what the golden variants show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from model.data.sequences import Samples, build_samples
from model.data.splits import split_samples
from model.errors import ConfigError


def samples_of(*events_per_user: int) -> Samples:
    users = np.repeat(np.arange(1, len(events_per_user) + 1), events_per_user)
    items = np.arange(1, len(users) + 1)
    return build_samples(users, items, np.arange(len(users), dtype=np.float32), 50)


def sizes(events: int, split: dict[str, Any], group_by: str = "user") -> list[int]:
    parts = split_samples(samples_of(events), {"split": split, "group_by": group_by})
    return [len(part) for part in parts]


@pytest.mark.parametrize(
    ("events", "expected"), [(1, [0, 0, 0]), (2, [1, 0, 0]), (3, [1, 0, 1]), (4, [1, 1, 1]), (9, [6, 1, 1])]
)
def test_leave_one_out_prefers_test_to_valid(events: int, expected: list[int]) -> None:
    assert sizes(events, {"LS": "valid_and_test"}) == expected


@pytest.mark.parametrize(("events", "expected"), [(2, [1, 0, 0]), (4, [1, 1, 1]), (11, [8, 1, 1]), (21, [16, 2, 2])])
def test_small_shares_still_get_a_sample(events: int, expected: list[int]) -> None:
    assert sizes(events, {"RS": [8, 1, 1]}) == expected


def test_no_sample_of_a_split_by_time_is_lost() -> None:
    assert sum(sizes(21, {"TS": [0.8, 0.1, 0.1]})) == 20


@pytest.mark.parametrize("split", [{"LS": "some"}, {"RS": [1, 2]}, {"XX": 1}, "LS", {}])
def test_a_malformed_split_is_refused(split: Any) -> None:
    with pytest.raises(ConfigError, match="eval_args split"):
        split_samples(samples_of(5), {"split": split, "group_by": "user"})


def test_histories_keep_the_most_recent_events() -> None:
    samples = build_samples(np.ones(5, int), np.arange(1, 6), np.arange(5, dtype=np.float32), 2)
    assert samples.length.tolist() == [1, 2, 2, 2]
    assert samples.padded(torch.arange(4), 2).tolist() == [[1, 0], [1, 2], [2, 3], [3, 4]]
