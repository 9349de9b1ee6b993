"""Prefixes of one history in one forward pass: other batches, the same losses and gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model.config import Config
from model.data import SequentialDataset, load_dataset
from model.s3rec.network import build
from model.s3rec.objectives import FinetuneObjective
from model.training import epoch_order

MakeConfig = Callable[..., Config]


def loss_and_gradients(config: Config, dataset: SequentialDataset, rows: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    model = build(config, dataset).double()
    objective = FinetuneObjective(model, dataset, config)
    objective.begin_epoch(0)
    loss = objective.backward(rows)
    return loss, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("loss_type", ["CE", "BPR"])
@pytest.mark.parametrize("longest", [10, 4])
def test_losses_and_gradients_are_those_of_samples_computed_one_by_one(
    small_config: MakeConfig, loss_type: str, longest: int
) -> None:
    settings = {
        "loss_type": loss_type,
        "MAX_ITEM_LIST_LENGTH": longest,  # with 4, most histories are windows that are nobody's prefixes
        "hidden_dropout_prob": 0.0,
        "attn_dropout_prob": 0.0,
        "n_layers": 2,
    }
    config = small_config(**settings)
    dataset = load_dataset(config)
    rows = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(3))[:200]
    one_by_one = loss_and_gradients(config, dataset, rows)
    together = loss_and_gradients(small_config(**settings, share_prefixes=True), dataset, rows)
    assert torch.allclose(one_by_one[0], together[0], rtol=1e-12)
    assert one_by_one[1].keys() == together[1].keys()
    for name, gradient in one_by_one[1].items():
        assert torch.allclose(gradient, together[1][name], rtol=1e-9, atol=1e-14), name


def test_prefixes_of_a_history_follow_each_other_and_nothing_is_lost(
    small_config: MakeConfig, small_dataset: SequentialDataset
) -> None:
    config = small_config(share_prefixes=True)
    objective = FinetuneObjective(build(config, small_dataset), small_dataset, config)
    orders = [objective.arrange(epoch_order(config["seed"], epoch, len(small_dataset.train))) for epoch in (0, 1)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(len(small_dataset.train)))
        histories = small_dataset.train.start[order]
        assert len(histories.unique_consecutive()) == len(histories.unique())
    assert not torch.equal(*orders)


def test_long_histories_come_no_earlier_than_short_ones(small_config: MakeConfig) -> None:
    config = small_config(share_prefixes=True, MAX_ITEM_LIST_LENGTH=4)
    dataset = load_dataset(config)
    objective = FinetuneObjective(build(config, dataset), dataset, config)
    places = []
    for epoch in range(200):
        order = objective.arrange(epoch_order(7, epoch, len(dataset.train)))
        histories, members = torch.unique_consecutive(dataset.train.start[order], return_counts=True)
        place = torch.arange(len(histories)) / (len(histories) - 1)
        places.append(place[members > 1].mean())
    # The mean of 200 means of 80 places, each with a standard deviation of 0.29.
    assert torch.stack(places).mean().item() == pytest.approx(0.5, abs=5 * 0.29 / (200 * 80) ** 0.5)


def test_without_the_option_the_order_is_recboles(small_config: MakeConfig, small_dataset: SequentialDataset) -> None:
    config = small_config()
    order = epoch_order(config["seed"], 0, len(small_dataset.train))
    objective = FinetuneObjective(build(config, small_dataset), small_dataset, config)
    assert torch.equal(objective.arrange(order), order)
