"""The switches that correct what RecBole likely does wrong, and what each of them changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import Config
from model.data import SequentialDataset, load_dataset
from model.s3rec import S3Rec, build
from model.s3rec.corruption import corrupt
from model.s3rec.objectives import FinetuneObjective, PretrainObjective, finetune_loss, pretrain_losses

MakeConfig = Callable[..., Config]


@pytest.fixture
def model(small_config: MakeConfig, small_dataset: SequentialDataset) -> S3Rec:
    return build(small_config(initializer_range=0.5), small_dataset)


def test_positions_aligned_left_are_those_of_finetuning(
    small_config: MakeConfig, small_dataset: SequentialDataset
) -> None:
    short, full = torch.tensor([[0, 0, 3, 4, 5]]), torch.tensor([[1, 2, 3, 4, 5]])
    for alignment, first in (("left", 0), ("right", 7)):
        model = build(small_config(position_alignment=alignment), small_dataset)
        seen = model._pretraining_positions(short == 0)
        assert torch.equal(seen[..., -3:, :].squeeze(0), model.position_embedding.weight[first : first + 3])
    # Without padding the two differ only in where they begin, and full histories fill all positions.
    left = build(small_config(position_alignment="left", MAX_ITEM_LIST_LENGTH=5), small_dataset)
    right = build(small_config(MAX_ITEM_LIST_LENGTH=5), small_dataset)
    outs = [network.encode_pretraining(full, None, last_only=True) for network in (left, right)]
    assert torch.allclose(*outs)


def test_aligned_left_padding_changes_nothing(small_config: MakeConfig, small_dataset: SequentialDataset) -> None:
    model = build(small_config(position_alignment="left"), small_dataset)
    outs = [
        model.encode_pretraining(torch.tensor([items]), None, last_only=True)
        for items in ([3, 4, 5], [0, 3, 4, 5], [0] * 7 + [3, 4, 5])
    ]
    assert torch.allclose(outs[0], outs[1], atol=1e-6)
    assert torch.allclose(outs[0], outs[2], atol=1e-6)


def test_scores_instead_of_their_sigmoids(
    model: S3Rec, small_config: MakeConfig, small_dataset: SequentialDataset
) -> None:
    histories = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    batch = corrupt(histories, torch.tensor([4, 4]), model.mask_token, 0.9, torch.Generator())
    features = PretrainObjective(model, small_dataset, small_config()).features
    once = pretrain_losses(model, batch, features, None, double_sigmoid=False)
    twice = pretrain_losses(model, batch, features, None)
    masked = batch.masked_item_sequence == model.mask_token
    hidden = model.mip_norm(model.encode_pretraining(batch.masked_item_sequence, None, last_only=False)[masked])
    positive, negative = (
        (hidden * model.item_embedding(items[masked])).sum(-1) for items in (batch.pos_items, batch.neg_items)
    )
    assert once.mip.item() == pytest.approx(-F.logsigmoid(positive - negative).sum().item(), rel=1e-5)
    difference = torch.sigmoid(positive) - torch.sigmoid(negative)
    assert twice.mip.item() == pytest.approx(-F.logsigmoid(difference).sum().item(), rel=1e-5)
    assert once.sp.item() != twice.sp.item()
    assert (once.aap.item(), once.map.item()) == (twice.aap.item(), twice.map.item())


def test_negatives_without_the_mask_token() -> None:
    histories = torch.randint(1, 5, (2000, 4), generator=torch.Generator().manual_seed(1))
    lengths = torch.full((2000,), 4)

    def negatives(highest: int | None) -> Tensor:
        batch = corrupt(histories, lengths, 8, 1.0, torch.Generator().manual_seed(2), highest)
        return batch.neg_items

    assert negatives(None).max() == 8
    assert negatives(7).max() == 7


@pytest.mark.parametrize(("choice", "attributes"), [("last", [0, 0, 1]), ("none", [0, 0, 0])])
def test_an_item_without_the_attribute(
    golden: Callable[[str], Any], tiny_config: MakeConfig, choice: str, attributes: list[int]
) -> None:
    wanted = golden("trajectories")["single_token_attribute"]
    config = tiny_config(item_attribute=wanted["item_attribute"], missing_attribute=choice)
    dataset = load_dataset(config)
    features = PretrainObjective(build(config, dataset), dataset, config).features
    assert features[3].tolist() == attributes  # the one whose release_year is missing
    assert features[[1, 2, 6]].tolist() == wanted["features_last_4_positions"][1:]


def test_the_mean_is_the_sum_by_the_number_of_samples(
    small_config: MakeConfig, small_dataset: SequentialDataset
) -> None:
    losses, rows = [], torch.arange(50)
    for reduction in ("sum", "mean"):
        config = small_config(pretrain_reduction=reduction)
        objective = PretrainObjective(build(config, small_dataset), small_dataset, config)
        objective.begin_epoch(0)
        losses.append(objective.backward(rows).item())
    assert losses[0] == pytest.approx(50 * losses[1], rel=1e-5)


def test_ranking_items_only(model: S3Rec, small_config: MakeConfig, small_dataset: SequentialDataset) -> None:
    encoded, targets = torch.randn(5, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([1, 2, 3, 4, 5])
    logits = encoded @ model.item_embedding.weight.T
    logits[:, [0, -1]] = -torch.inf
    loss = finetune_loss(model, encoded, targets, None, special=False)
    assert loss.item() == pytest.approx(F.cross_entropy(logits, targets, reduction="sum").item(), rel=1e-5)
    config = small_config(rank_special_tokens=False)
    objective = FinetuneObjective(model, small_dataset, config)
    objective.begin_epoch(0)
    objective.backward(torch.arange(20))
    assert model.item_embedding.weight.grad is not None
    assert model.item_embedding.weight.grad[[0, -1]].abs().max() == 0
