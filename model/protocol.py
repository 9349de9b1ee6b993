"""What stands behind a score: which candidates were ranked, for how many users, and when that is worth changing.

Scores of two protocols can't be compared: sampled candidates make every metric higher, and not even in the same
order of models (Krichene and Rendle, KDD 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.eval_args import merge_eval_args
from model.former_names import todays

# A validation may take this share of the training of an epoch.
_SHARE = 0.5
# Enough users that the standard error of NDCG@10 is about 0.005.
_FEW, _MANY = 1000, 2000


def protocol_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """How a model is measured, to be kept beside every value.

    Returns:
        ``valid`` and ``test``: what is ranked ("full", "uni100"); ``valid_users`` where not all are validated on;
        ``rows``: "sample" where candidates are drawn and a user may have several samples. Each is ranked by itself
        then, while RecBole ranks a user's samples as one row with several right items among the candidates of all.
    """
    protocol: dict[str, Any] = dict(config["eval_args"]["mode"])
    if config["valid_users"] is not None:
        protocol["valid_users"] = config["valid_users"]
    several = "LS" not in config["eval_args"]["split"] or config["benchmark_filename"]
    if several and set(config["eval_args"]["mode"].values()) != {"full"}:
        protocol["rows"] = "sample"
    return protocol


def given_protocol(given: Mapping[str, Any]) -> dict[str, Any]:
    """The protocol of a configuration of which only the ``given`` values are known; the others are the defaults."""
    given, _ = todays(given)
    evaluation = merge_eval_args(given.get("eval_args") or {})
    others = {key: given.get(key) for key in ("valid_users", "benchmark_filename")}
    return protocol_of({"eval_args": evaluation} | others)


def metric_label(metric: str, protocol: Mapping[str, Any]) -> str:
    """The metric with what sets it apart from a full ranking for all users: "ndcg@10", "ndcg@10 (uni100)".

    Args:
        protocol: see :func:`protocol_of`; for the test's metrics, with the test's candidates as ``valid``.
    """
    parts = [] if protocol["valid"] == "full" else [str(protocol["valid"])]
    if parts and "rows" in protocol:
        parts.append(f"per {protocol['rows']}")
    if "valid_users" in protocol:
        parts.append(f"{protocol['valid_users']} users")
    return f"{metric} ({', '.join(parts)})" if parts else metric


def cheaper_validation(config: Mapping[str, Any], users: int, training: float, validation: float) -> str | None:
    """What to change when a validation takes more than half as long as the training of an epoch; else None.

    First fewer users, because the metric stays the same quantity; sampled candidates only where 1,000 users are
    still too many.

    Args:
        users: with validation samples.
        training, validation: seconds of one epoch.
    """
    if validation <= _SHARE * training or protocol_of(config)["valid"] != "full" or config["valid_users"] is not None:
        return None
    affordable = int(users * _SHARE * training / validation)
    problem = f"A validation takes {validation:.1f} s beside {training:.1f} s of training"
    if affordable >= _FEW:
        return f"{problem}: set valid_users: {min(affordable, _MANY)} to validate on a fixed sample of users."
    if users <= 100:
        return None  # little to validate, little to train: nothing to gain
    return (
        f"{problem}: set eval_args: {{mode: {{valid: uni100, test: full}}}} to validate against 100 sampled items; the "
        "test still ranks all."
    )
