"""Names of metrics: which there are, and the keys of the results that a configuration asks for.

The formulas are :mod:`model.metrics`; these are apart because a configuration is checked without torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from model.errors import ConfigError

# By the name in keys of results: how RecBole writes it. One for every function of model.metrics.METRICS.
METRIC_NAMES = {
    name.lower(): name
    for name in (
        *("Recall", "MRR", "NDCG", "Hit", "Precision", "MAP", "GAUC"),
        *("ItemCoverage", "AveragePopularity", "GiniIndex", "ShannonEntropy", "TailPercentage"),
    )
}
_WITHOUT_K = frozenset({"gauc"})
_OF_LABELS = frozenset({"auc", "mae", "rmse", "logloss"})
_NAMES = ", ".join(METRIC_NAMES.values())


def metric_keys(metrics: Sequence[str], topk: Sequence[int]) -> list[str]:
    """Names of the results, in RecBole's order: ``recall@10``, ..., ``gauc``.

    Raises:
        ConfigError: a metric is unknown, or needs labels instead of a ranking.
    """
    keys = []
    for metric in metrics:
        name = str(metric).lower()
        if name in _OF_LABELS:
            raise ConfigError(f"metrics = {metric!r}: it needs labels; sequential models are ranked. Use {_NAMES}.")
        if name not in METRIC_NAMES:
            raise ConfigError(f"metrics = {metric!r}: {_no_such_metric(name)}")
        keys += [name] if name in _WITHOUT_K else [f"{name}@{k}" for k in topk]
    return keys


def computed_keys(values: Mapping[str, Any]) -> list[str]:
    """What a configuration has computed: its metrics at every k, and valid_metric, which need not be among them.

    Raises:
        ConfigError: a metric is unknown, or valid_metric is no metric at a k.
    """
    keys = metric_keys(values["metrics"], values["topk"])
    wanted = str(values["valid_metric"]).lower()
    if wanted in keys:
        return keys
    name, _, k = wanted.partition("@")
    if name in _OF_LABELS:
        problem = f"it needs labels; sequential models are ranked. Use one of {_NAMES}."
    elif name not in METRIC_NAMES:
        problem = _no_such_metric(name, f"@{k or 10}")
    elif name in _WITHOUT_K:
        problem = "it has no length; write GAUC." if k else ""
    else:
        problem = "" if k.isdigit() and int(k) > 0 else "write a metric and a length, e.g. NDCG@10."
    if problem:
        raise ConfigError(f"valid_metric = {values['valid_metric']!r}: {problem}")
    return [*keys, wanted]


def _no_such_metric(name: str, length: str = "") -> str:
    """What to write instead of ``name`` (lower case), which is no metric."""
    # What other programs call it.
    nearest = {"hr": "hit", "hitrate": "hit", "hitratio": "hit"}.get(name.replace("_", "").replace(" ", ""))
    nearest = nearest or next(iter(difflib.get_close_matches(name, METRIC_NAMES, n=1)), None)
    meant = METRIC_NAMES.get(nearest or "")
    hint = f" Did you mean {meant}{length}?" if meant else ""
    return f"there is no such metric.{hint} There are {_NAMES}."


def longest_list(keys: Iterable[str]) -> int:
    """The largest k among the keys."""
    return max((int(key.partition("@")[2] or 1) for key in keys), default=1)
