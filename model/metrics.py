"""Ranking metrics with RecBole's formulas. A metric is one function, one line in ``METRICS``, and its name.

What they are called, and what a configuration asks for, is :mod:`model.metric_names`.

All work on a :class:`Ranking`: the first K recommended items of every evaluated row, and which of them were right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ranking:
    """What recommenders proposed to n rows.

    Attributes:
        items: int64 [n, K], recommended ids in order; 0 where fewer than K items were ranked.
        hits: bool [n, K], whether each is a positive.
        positives: int64 [n], positives of the row.
        candidates: int64 [n], items that were ranked.
        rank_sum: float64 [n], sum of the positives' descending ranks, ties averaged.
        item_num: number of ids, padding included.
        train_counts: int64 [item_num], how often an item is a target in training.
        tail_ratio: what counts as tail, see :func:`tail_percentage`.
    """

    items: Tensor
    hits: Tensor
    positives: Tensor
    candidates: Tensor
    rank_sum: Tensor
    item_num: int
    train_counts: Tensor
    tail_ratio: float | None = None


def recall(ranking: Ranking, k: int) -> Tensor:
    """Share of the positives among the first k, mean over rows."""
    return (ranking.hits[:, :k].sum(1) / ranking.positives).mean(dtype=torch.float64)


def hit(ranking: Ranking, k: int) -> Tensor:
    """Share of rows with a positive among the first k."""
    return ranking.hits[:, :k].any(1).double().mean()


def precision(ranking: Ranking, k: int) -> Tensor:
    """Share of the first k that are positives, mean over rows."""
    return (ranking.hits[:, :k].sum(1).double() / k).mean()


def mrr(ranking: Ranking, k: int) -> Tensor:
    """1 / rank of the first positive if it is among the first k, else 0; mean over rows."""
    hits = ranking.hits[:, :k].double()
    first = (hits.cumsum(1) == 1) * hits / _ranks(k)
    return first.sum(1).mean()


def ndcg(ranking: Ranking, k: int) -> Tensor:
    """Discounted gain with log2(rank + 1), relative to the best possible order; mean over rows."""
    discount = 1 / torch.log2(_ranks(k) + 1)
    gained = (ranking.hits[:, :k].double() * discount).sum(1)
    ideal = discount.cumsum(0)[ranking.positives.clamp(max=k) - 1]
    return (gained / ideal).mean()


def mean_average_precision(ranking: Ranking, k: int) -> Tensor:
    """Precision at each hit, summed, divided by min(k, positives); mean over rows."""
    hits = ranking.hits[:, :k].double()
    at_hits = (hits * hits.cumsum(1) / _ranks(k)).sum(1)
    return (at_hits / ranking.positives.clamp(max=k)).mean()


def gauc(ranking: Ranking, _: int) -> Tensor:
    """AUC per row, weighted by its positives. Rows that are all positive are left out."""
    keep = ranking.candidates > ranking.positives
    right, ranked = ranking.positives[keep].double(), ranking.candidates[keep].double()
    auc = (right * (ranked + 1) - right * (right + 1) / 2 - ranking.rank_sum[keep]) / (right * (ranked - right))
    return (right * auc).sum() / right.sum()


def item_coverage(ranking: Ranking, k: int) -> Tensor:
    """Distinct recommended items / number of ids (padding included, as in RecBole)."""
    return torch.tensor(len(_recommended(ranking, k).unique()) / ranking.item_num)  # type: ignore[no-untyped-call]


def average_popularity(ranking: Ranking, k: int) -> Tensor:
    """Mean count in training of the recommended items."""
    return ranking.train_counts[_recommended(ranking, k)].double().mean()


def shannon_entropy(ranking: Ranking, k: int) -> Tensor:
    """Entropy of what is recommended, divided by the number of distinct items (RecBole's choice)."""
    counts = _counts(ranking, k)
    share = counts / counts.sum()
    return -(share * share.log()).sum() / len(counts)


def gini_index(ranking: Ranking, k: int) -> Tensor:
    """Inequality of how often items are recommended; items never recommended count as 0."""
    counts = _counts(ranking, k).sort().values
    number = ranking.item_num
    place = torch.arange(number - len(counts) + 1, number + 1, dtype=torch.float64)
    return ((2 * place - number - 1) * counts).sum() / counts.sum() / number


def tail_percentage(ranking: Ranking, k: int) -> Tensor:
    """Share of recommendations that are tail items.

    ``tail_ratio`` above 1 is a count: items seen at most so often in training. Otherwise it is the share (0.1 unless
    set) of the items seen in training, the least seen ones, lower ids first.
    """
    ratio = ranking.tail_ratio if ranking.tail_ratio and ranking.tail_ratio > 0 else 0.1
    counts = ranking.train_counts
    tail = torch.zeros(len(counts), dtype=torch.bool)
    seen = counts.nonzero()[:, 0]
    if ratio > 1:
        tail[seen[counts[seen] <= ratio]] = True
    else:
        rarest = seen[torch.argsort(counts[seen], stable=True)]
        tail[rarest[: max(int(len(seen) * ratio), 1)]] = True
    return tail[_recommended(ranking, k)].double().mean()


def _ranks(k: int) -> Tensor:
    return torch.arange(1, k + 1, dtype=torch.float64)


def _recommended(ranking: Ranking, k: int) -> Tensor:
    items = ranking.items[:, :k]
    return items[items > 0]


def _counts(ranking: Ranking, k: int) -> Tensor:
    counts = torch.bincount(_recommended(ranking, k))
    return counts[counts > 0].double()


METRICS: dict[str, Callable[[Ranking, int], Tensor]] = {
    "recall": recall,
    "mrr": mrr,
    "ndcg": ndcg,
    "hit": hit,
    "precision": precision,
    "map": mean_average_precision,
    "gauc": gauc,
    "itemcoverage": item_coverage,
    "averagepopularity": average_popularity,
    "giniindex": gini_index,
    "shannonentropy": shannon_entropy,
    "tailpercentage": tail_percentage,
}


def compute(ranking: Ranking, keys: Iterable[str]) -> dict[str, float]:
    """The metrics by key, not rounded."""
    results = {}
    for key in keys:
        name, _, k = key.partition("@")
        results[key] = float(METRICS[name](ranking, int(k or 0)))
    return results
