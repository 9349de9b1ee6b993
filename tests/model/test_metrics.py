"""Ranking metrics: contract 7.2 and 7.3, with RecBole's values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from model.errors import ConfigError
from model.evaluation import rank
from model.metric_names import METRIC_NAMES, metric_keys
from model.metrics import METRICS, Ranking, compute

CASES = (
    "multi_positive",
    "single_positive_LS",
    "single_positive_tail_0.3",
    "single_positive_tail_count5",
    "neg_sampled",
)


def ranking_of(case: dict[str, Any], topk: list[int]) -> Ranking:
    scores = torch.tensor([[-torch.inf if s is None else s for s in row] for row in case["scores"]])
    width = max(map(len, case["positives"]))
    positives = torch.tensor([row + [0] * (width - len(row)) for row in case["positives"]])
    counts = torch.zeros(case["n_items"], dtype=torch.int64)
    for item, count in case.get("count_items", {}).items():
        counts[int(item)] = count
    return Ranking(*rank(scores, positives, max(topk)), case["n_items"], counts, case.get("tail_ratio"))


@pytest.mark.parametrize("name", CASES)
def test_every_metric_has_recboles_value(golden: Callable[[str], Any], name: str) -> None:
    file = golden("metrics")
    case = file["cases"][name]
    topk = case.get("topk", file["topk"])
    wanted = case["metrics_full"]
    metrics = list(dict.fromkeys(key.partition("@")[0] for key in wanted))
    results = compute(ranking_of(case, topk), metric_keys(metrics, topk))
    assert list(results) == list(wanted)
    for key, value in wanted.items():
        assert results[key] == pytest.approx(value, abs=1e-6), key


def test_the_golden_cases_cover_every_metric(golden: Callable[[str], Any]) -> None:
    cases = golden("metrics")["cases"]
    covered = {key.partition("@")[0] for name in CASES for key in cases[name]["metrics_full"]}
    assert covered == set(METRICS)


def test_every_metric_has_its_name_and_every_name_its_metric() -> None:
    assert list(METRIC_NAMES) == list(METRICS)


def test_recommended_items_and_hits_are_recboles(golden: Callable[[str], Any]) -> None:
    case = golden("metrics")["cases"]["multi_positive"]
    ranking = ranking_of(case, [20])
    assert ranking.items.tolist() == case["rec.items"]
    assert torch.cat([ranking.hits.long(), ranking.positives[:, None]], dim=1).tolist() == case["rec.topk"]


def test_tied_scores_come_in_order_of_ids_and_gauc_averages_their_ranks(golden: Callable[[str], Any]) -> None:
    case = golden("metrics")["cases"]["ties"]
    ranking = ranking_of(case, case["topk"])
    for row, scores in zip(ranking.items.tolist(), case["scores"], strict=True):
        assert row == sorted(range(1, 12), key=lambda item: (-scores[item], item))[:10]
    assert compute(ranking, ["gauc"])["gauc"] == pytest.approx(case["metrics_full"]["gauc"], abs=1e-6)


def test_items_that_were_not_ranked_are_not_recommended() -> None:
    scores = torch.full((1, 6), -torch.inf)
    scores[0, [2, 4]] = torch.tensor([0.1, 0.2])
    ranking = Ranking(*rank(scores, torch.tensor([[2]]), 5), 6, torch.tensor([0, 0, 3, 0, 5, 0]))
    assert ranking.items.tolist() == [[4, 2, 0, 0, 0]]
    results = compute(ranking, ["itemcoverage@5", "averagepopularity@5"])
    assert results == {"itemcoverage@5": pytest.approx(2 / 6), "averagepopularity@5": 4.0}


def test_keys_follow_the_order_of_metrics_then_topk() -> None:
    assert metric_keys(["NDCG", "gauc", "Hit"], [5, 1]) == ["ndcg@5", "ndcg@1", "gauc", "hit@5", "hit@1"]


def test_an_unknown_metric_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'Recal'.*Recall, MRR, NDCG.*TailPercentage"):
        metric_keys(["Recal"], [10])


def test_a_metric_of_labels_is_an_error_that_says_so() -> None:
    with pytest.raises(ConfigError, match=r"RMSE.*needs labels"):
        metric_keys(["RMSE"], [10])
