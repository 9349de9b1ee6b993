"""The baseline that a study's best result is compared with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch

from model.baseline import baseline
from model.config import Config
from model.data import SequentialDataset
from model.popularity.recommender import build


def test_items_rank_by_how_often_they_are_targets_in_training(
    small_config: Callable[..., Config], small_dataset: SequentialDataset
) -> None:
    counts = Counter(small_dataset.train.target.tolist())
    model = build(small_config(), small_dataset)
    histories, lengths = torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1])
    scores = model.score_all(histories, lengths)
    assert scores.tolist() == [[counts[item] for item in range(small_dataset.item_num)]] * 2
    assert model.score(histories, lengths, torch.tensor([[5, 7], [7, 5]])).tolist() == [
        [counts[5], counts[7]],
        [counts[7], counts[5]],
    ]


def test_the_baseline_has_both_splits_and_the_studys_metrics(
    small_config: Callable[..., Config], small_dataset: SequentialDataset
) -> None:
    config = small_config(metrics=["NDCG", "Hit"], topk=[1, 30], valid_metric="NDCG@30")
    result = baseline(config, small_dataset)
    assert list(result) == ["valid", "test"]
    for part in result.values():
        assert part is not None
        assert list(part) == ["ndcg@1", "ndcg@30", "hit@1", "hit@30"]
        assert part["hit@30"] == 1.0
