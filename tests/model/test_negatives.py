"""Negative samples: never the target, from all other items, in the shares that were asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from model.data import SequentialDataset
from model.errors import DataError
from model.negatives import NegativeSampler

CPU = torch.device("cpu")


def sampler(dataset: SequentialDataset, **arguments: object) -> NegativeSampler:
    return NegativeSampler(dataset, {"distribution": "uniform", "sample_num": 50, "alpha": 1.0, **arguments}, CPU)


def drawn(sampler: NegativeSampler, targets: torch.Tensor) -> torch.Tensor:
    return sampler(targets, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("distribution", ["uniform", "popularity"])
def test_the_target_is_never_its_own_negative(small_dataset: SequentialDataset, distribution: str) -> None:
    targets = torch.arange(1, small_dataset.item_num)
    found = drawn(sampler(small_dataset, distribution=distribution), targets)
    assert found.shape == (len(targets), 50)
    assert not (found == targets[:, None]).any()
    assert found.min() >= 1
    assert found.max() < small_dataset.item_num


def test_uniform_negatives_are_all_other_items_alike(small_dataset: SequentialDataset) -> None:
    for target in (1, 7, small_dataset.item_num - 1):  # the first and the last item are the borders
        found = drawn(sampler(small_dataset, sample_num=30_000), torch.tensor([target]))
        counts = torch.bincount(found[0], minlength=small_dataset.item_num)
        others = [item for item in range(1, small_dataset.item_num) if item != target]
        mean = 30_000 / len(others)
        assert all(abs(int(counts[item]) - mean) < 6 * mean**0.5 for item in others)


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_popular_negatives_come_in_proportion(small_dataset: SequentialDataset, alpha: float) -> None:
    targets = torch.cat([small_dataset.train.target, small_dataset.valid.target, small_dataset.test.target])
    weights = torch.bincount(targets, minlength=small_dataset.item_num).double()
    weights = torch.where(weights > 0, weights**alpha, 0.0)
    target = int(weights.argmax())
    found = drawn(
        sampler(small_dataset, distribution="popularity", sample_num=30_000, alpha=alpha), torch.tensor([target])
    )
    counts = torch.bincount(found[0], minlength=small_dataset.item_num).double()
    weights[target] = 0
    expected = 30_000 * weights / weights.sum()
    assert counts[target] == 0
    assert bool(((counts - expected).abs() <= 6 * expected.sqrt() + 1e-9).all())


def test_an_item_that_is_no_target_is_no_popular_negative(small_dataset: SequentialDataset) -> None:
    seldom = replace(small_dataset, item_num=small_dataset.item_num + 3)
    found = drawn(sampler(seldom, distribution="popularity", alpha=0.0, sample_num=1000), torch.arange(1, 6))
    assert found.max() < small_dataset.item_num


@pytest.mark.parametrize("distribution", ["uniform", "popularity"])
def test_one_item_has_no_negatives(small_dataset: SequentialDataset, distribution: str) -> None:
    ones = {split: replace(getattr(small_dataset, split), target=torch.ones(3, dtype=torch.int64))
            for split in ("train", "valid", "test")}  # fmt: skip
    with pytest.raises(DataError, match="needs two different items, there is 1"):
        sampler(replace(small_dataset, item_num=2, **ones), distribution=distribution)
