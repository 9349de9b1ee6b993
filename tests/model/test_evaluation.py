"""Evaluation protocols: contract 7.1 and 7.3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from model.config import Config
from model.data import SequentialDataset, load_dataset
from model.errors import ConfigError, NonFiniteLoss
from model.evaluation import evaluate
from model.recommender import Recommender

MakeConfig = Callable[..., Config]


class Fixed(Recommender):
    """Scores items with a given table, whatever the history is."""

    def __init__(self, scores: Tensor) -> None:
        super().__init__()
        self.scores = nn.Parameter(scores, requires_grad=False)

    def score_all(self, histories: Tensor, lengths: Tensor) -> Tensor:
        return self.scores.repeat(len(histories), 1)

    def score(self, histories: Tensor, lengths: Tensor, candidates: Tensor) -> Tensor:
        return self.scores[candidates]


@pytest.fixture
def falling(small_dataset: SequentialDataset) -> Fixed:
    """Likes items the better the lower their id is; the padding best of all."""
    return Fixed(-torch.arange(small_dataset.item_num, dtype=torch.float32))


def test_full_ranking_counts_every_item_but_the_padding(
    small_config: MakeConfig, small_dataset: SequentialDataset, falling: Fixed
) -> None:
    config = small_config(metrics=["MRR", "Hit"], topk=[3], valid_metric="MRR@3", metric_decimal_place=10)
    ranks = small_dataset.valid.target.double()  # the item with id 1 is first
    result = evaluate(falling, small_dataset, "valid", config)
    assert result == {
        "mrr@3": pytest.approx(float(((ranks <= 3) / ranks).mean())),
        "hit@3": pytest.approx(float((ranks <= 3).double().mean())),
    }


def test_the_batch_size_changes_nothing(
    small_config: MakeConfig, small_dataset: SequentialDataset, falling: Fixed
) -> None:
    results = [
        evaluate(falling, small_dataset, "test", small_config(eval_batch_size=size, topk=[5, 10]))
        for size in (1, 7, 4096)
    ]
    assert results[0] == results[1] == results[2]


def test_results_are_rounded_as_numpy_rounds(small_dataset: SequentialDataset, small_config: MakeConfig) -> None:
    # One hit at rank 1 in 8 rows with 2 decimals: 0.125 becomes 0.12, to even.
    rows = torch.arange(8)
    valid = replace(small_dataset.valid.select(rows), target=torch.tensor([1, 2, 2, 2, 2, 2, 2, 2]))
    scores = torch.zeros(small_dataset.item_num)
    scores[1] = 1.0
    config = small_config(metrics=["Hit"], topk=[1], valid_metric="Hit@1", metric_decimal_place=2)
    assert evaluate(Fixed(scores), replace(small_dataset, valid=valid), "valid", config) == {"hit@1": 0.12}


def test_an_empty_split_has_no_result(
    small_config: MakeConfig, small_dataset: SequentialDataset, falling: Fixed
) -> None:
    empty = replace(small_dataset, valid=small_dataset.valid.select(torch.arange(0)))
    assert evaluate(falling, empty, "valid", small_config()) is None


@pytest.mark.parametrize("mode", ["uni5", "pop5"])
def test_sampled_ranking_ranks_the_target_among_at_most_n_others(
    small_config: MakeConfig, small_dataset: SequentialDataset, falling: Fixed, mode: str
) -> None:
    config = small_config(eval_args={"mode": mode}, metrics=["Hit"], topk=[6], valid_metric="Hit@6")
    # Six candidates fit into a list of six, so the target is always there.
    assert evaluate(falling, small_dataset, "valid", config) == {"hit@6": 1.0}


def test_sampled_ranking_is_drawn_anew_every_epoch_and_the_same_for_the_same_epoch(
    small_config: MakeConfig, small_dataset: SequentialDataset, falling: Fixed
) -> None:
    config = small_config(eval_args={"mode": "uni5"})
    first, again, later = (evaluate(falling, small_dataset, "valid", config, epoch) for epoch in (1, 1, 2))
    assert first == again
    assert first != later


def test_valid_and_test_may_have_protocols_of_their_own(
    small_config: MakeConfig, small_dataset: SequentialDataset, falling: Fixed
) -> None:
    mixed = small_config(eval_args={"mode": {"valid": "uni5", "test": "full"}})
    assert evaluate(falling, small_dataset, "test", mixed) == evaluate(falling, small_dataset, "test", small_config())
    assert evaluate(falling, small_dataset, "valid", mixed) != evaluate(falling, small_dataset, "valid", small_config())


def test_a_list_longer_than_the_catalog_is_an_error(
    small_config: MakeConfig, small_dataset: SequentialDataset, falling: Fixed
) -> None:
    config = small_config(topk=[1000], valid_metric="MRR@1000")
    with pytest.raises(ConfigError, match=r"topk = \[1000\].*there are only 30 items"):
        evaluate(falling, small_dataset, "valid", config)


def test_scores_that_are_no_numbers_are_an_error(small_config: MakeConfig, small_dataset: SequentialDataset) -> None:
    model = Fixed(torch.full((small_dataset.item_num,), torch.nan))
    with pytest.raises(NonFiniteLoss, match="valid split after epoch 3"):
        evaluate(model, small_dataset, "valid", small_config(), 3)


def test_popular_negatives_are_targets_of_some_split(small_config: MakeConfig) -> None:
    config = small_config(
        eval_args={"mode": "pop50"}, metrics=["ItemCoverage"], topk=[30], valid_metric="ItemCoverage@30"
    )
    dataset = load_dataset(config)
    targets = torch.cat([dataset.train.target, dataset.valid.target, dataset.test.target]).unique()
    model = Fixed(torch.rand(dataset.item_num, generator=torch.Generator().manual_seed(0)))
    result = evaluate(model, dataset, "valid", config)
    assert result is not None
    assert result["itemcoverage@30"] <= len(targets) / dataset.item_num


def test_an_evaluation_can_be_interrupted_between_two_batches(
    small_config: MakeConfig, small_dataset: SequentialDataset, falling: Fixed
) -> None:
    class Interrupted(Exception):
        pass

    scored: list[int] = []
    score_all = falling.score_all
    falling.score_all = lambda histories, lengths: (scored.append(len(lengths)), score_all(histories, lengths))[1]  # type: ignore[method-assign]
    checked: list[int] = []

    def check() -> None:
        checked.append(len(scored))
        if len(scored) == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        evaluate(falling, small_dataset, "valid", small_config(eval_batch_size=7), check=check)
    assert (scored, checked) == ([7, 7], [0, 1, 2])
