"""Splits as the contract has them, beyond what the golden variants show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from model.data.sequences import Samples, build_samples
from model.data.splits import split_samples
from model.errors import ConfigError
from model.eval_args import merge_eval_args


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


def test_shares_of_a_split_by_time_are_rounded_as_by_the_peer() -> None:
    """The share is divided out first; the product of the other order ends elsewhere for 107 of these lengths."""
    shares = [0.6, 0.2, 0.2]
    early: dict[int, int] = {}
    for events in range(2, 1252):
        train, valid, _ = sizes(events, {"TS": [6, 2, 2]})
        early[train + valid] = train
    assert set(range(1, 1001)) <= set(early)
    wanted = {number: int(number * (shares[0] / (1 - shares[2]))) for number in range(1, 1001)}
    assert {number: early[number] for number in wanted} == wanted
    assert sum(int(number * shares[0] / (1 - shares[2])) != train for number, train in wanted.items()) == 107


@pytest.mark.parametrize("split", [{"LS": "valid_and_test"}, {"LS": "valid_only"}, {"TS": [6, 2, 2]}])
@pytest.mark.parametrize("group_by", ["none", None])
def test_only_shares_look_at_the_grouping(split: dict[str, Any], group_by: Any) -> None:
    """All samples as one group would leave one sample to validate on."""
    samples = samples_of(9, 5, 12)
    alone, grouped = (
        [part.target.tolist() for part in split_samples(samples, {"split": split, "group_by": each})]
        for each in (group_by, "user")
    )
    assert alone == grouped
    assert len(grouped[1]) > 1
    assert merge_eval_args({"split": split, "group_by": group_by})["group_by"] == "user"


@pytest.mark.parametrize("group_by", ["none", "None", "NONE", None])
def test_shares_of_all_samples_together(group_by: Any) -> None:
    merged = merge_eval_args({"split": {"RS": [8, 1, 1]}, "group_by": group_by})
    parts = split_samples(samples_of(9, 5, 12), merged)
    assert [len(part) for part in parts] == [19, 2, 2]
    assert [part.target.tolist() for part in parts][2] == [25, 26]  # the latest of all


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
