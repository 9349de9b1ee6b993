"""How models are measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from model.config import Config
from model.data import SequentialDataset
from model.errors import ConfigError
from model.evaluation import chosen_for_validation, evaluate
from model.protocol import cheaper_validation, given_protocol, metric_label, protocol_of
from model.registry import get_model

MakeConfig = Callable[..., Config]


def test_a_protocol_says_what_is_ranked_and_for_whom(small_config: MakeConfig) -> None:
    assert protocol_of(small_config()) == {"valid": "full", "test": "full"}
    changed = small_config(eval_args={"mode": {"valid": "uni100", "test": "full"}}, valid_users=30)
    assert protocol_of(changed) == {"valid": "uni100", "test": "full", "valid_users": 30}


def test_the_metrics_name_tells_protocols_apart(small_config: MakeConfig) -> None:
    assert metric_label("ndcg@10", protocol_of(small_config())) == "ndcg@10"
    assert metric_label("ndcg@10", protocol_of(small_config(eval_args={"mode": "uni9"}))) == "ndcg@10 (uni9)"
    assert metric_label("ndcg@10", protocol_of(small_config(valid_users=30))) == "ndcg@10 (30 users)"


@pytest.mark.parametrize("split", [{"RS": [8, 1, 1]}, {"TS": [8, 1, 1]}])
def test_candidates_drawn_for_every_sample_of_a_user_are_said(small_config: MakeConfig, split: dict[str, Any]) -> None:
    sampled = protocol_of(small_config(eval_args={"split": split, "mode": {"valid": "uni9", "test": "full"}}))
    assert sampled["rows"] == "sample"
    assert metric_label("ndcg@10", sampled) == "ndcg@10 (uni9, per sample)"
    full = protocol_of(small_config(eval_args={"split": split}))
    assert metric_label("ndcg@10", full) == "ndcg@10"
    ready = {"benchmark_filename": ["a", "b", "c"], "eval_args": {"mode": "pop9"}}
    assert metric_label("ndcg@10", given_protocol(ready)) == "ndcg@10 (pop9, per sample)"


def test_validation_uses_the_same_users_whatever_else_is_configured(
    small_config: MakeConfig, small_dataset: SequentialDataset
) -> None:
    some = chosen_for_validation(small_dataset.valid, small_config(valid_users=30))
    again = chosen_for_validation(small_dataset.valid, small_config(valid_users=30, learning_rate=0.5))
    other = chosen_for_validation(small_dataset.valid, small_config(valid_users=30, seed=1))
    assert len(some) == len(some.user.unique()) == 30
    assert torch.equal(some.user, again.user)
    assert not torch.equal(some.user, other.user)
    assert chosen_for_validation(small_dataset.valid, small_config(valid_users=5000)) is small_dataset.valid
    assert chosen_for_validation(small_dataset.valid, small_config()) is small_dataset.valid


def test_fewer_users_change_the_validation_and_not_the_test(
    small_config: MakeConfig, small_dataset: SequentialDataset
) -> None:
    model = get_model("Popularity").build(small_config(), small_dataset)
    everybody, some = small_config(), small_config(valid_users=20)
    assert evaluate(model, small_dataset, "valid", everybody) != evaluate(model, small_dataset, "valid", some)
    assert evaluate(model, small_dataset, "test", everybody) == evaluate(model, small_dataset, "test", some)


@pytest.mark.parametrize(
    ("users", "training", "validation", "advice"),
    [
        (943, 150.0, 60.0, None),
        (20_000, 100.0, 200.0, "valid_users: 2000"),
        (20_000, 100.0, 800.0, "valid_users: 1250"),
        (20_000, 100.0, 2000.0, "uni100"),
        (943, 100.0, 60.0, "uni100"),
        (50, 0.1, 0.2, None),
    ],
)
def test_first_fewer_users_then_sampled_items(
    small_config: MakeConfig, users: int, training: float, validation: float, advice: str | None
) -> None:
    told = cheaper_validation(small_config(), users, training, validation)
    assert told is None if advice is None else told is not None and advice in told
    assert cheaper_validation(small_config(valid_users=10), users, training, validation) is None


def test_a_number_of_users_is_checked(small_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match="valid_users"):
        small_config(valid_users=0)
