"""The switches that correct what RecBole likely does wrong, and what each of them changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import Config
from model.data import Samples, SequentialDataset, load_dataset
from model.s3rec.corruption import corrupt
from model.s3rec.network import S3Rec, build
from model.s3rec.objectives import FinetuneObjective, PretrainObjective, finetune_loss, pretrain_losses, windows

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


def test_a_causal_pretraining_sees_no_later_item(small_config: MakeConfig, small_dataset: SequentialDataset) -> None:
    items, other = torch.tensor([[0, 3, 4, 5, 6]]), torch.tensor([[0, 3, 4, 5, 7]])
    for attention, same in (("causal", True), ("bidirectional", False)):
        model = build(small_config(pretrain_attention=attention), small_dataset)
        before, after = (model.encode_pretraining(row, None, last_only=False) for row in (items, other))
        assert torch.allclose(before[:, 1:4], after[:, 1:4], atol=1e-6) is same
        last = model.encode_pretraining(items, None, last_only=True)
        assert torch.allclose(last, before[:, -1], atol=1e-5)


def _events(samples: Samples, rows: Tensor) -> list[range]:
    """The places of each sample's events in the data set."""
    starts, lengths = samples.start[rows].tolist(), samples.length[rows].tolist()
    return [range(start, start + length) for start, length in zip(starts, lengths, strict=True)]


def test_windows_have_every_event_once(small_config: MakeConfig, small_dataset: SequentialDataset) -> None:
    samples, longest = small_dataset.train, 10
    chosen = windows(samples, longest)
    users = sorted(set(samples.user.tolist()))
    for user in users:
        everything = set().union(*map(set, _events(samples, samples.user == user)))
        kept = [place for events in _events(samples, (samples.user == user) & chosen) for place in events]
        assert sorted(kept) == sorted(everything)
    config = small_config(pretrain_samples="windows", MAX_ITEM_LIST_LENGTH=longest)
    objective = PretrainObjective(build(config, small_dataset), small_dataset, config)
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(1))
    arranged = objective.arrange(order)
    assert 0 < len(arranged) < len(order) / 3
    assert len(set(samples.user[arranged].tolist())) == len(users)


def test_wrong_segments_of_other_histories() -> None:
    # Row r has the items 10 r + 1 ... 10 r + 6, so that an item says whose it is.
    rows = torch.arange(8)
    histories = 10 * rows[:, None] + torch.arange(1, 7)
    lengths = torch.full((8,), 6)
    own = {True: 0, False: 0}
    for seed in range(200):
        for allowed in own:
            generator = torch.Generator().manual_seed(seed)
            batch = corrupt(histories, lengths, 99, 0.0, generator, own_segments=allowed)
            drawn = (batch.masked_segment_sequence == 99) & (batch.neg_segment != 99)
            assert torch.equal(drawn, batch.masked_segment_sequence == 99)
            own[allowed] += int(((batch.neg_segment // 10 == rows[:, None]) & drawn).sum())
    assert own[False] == 0
    assert own[True] > 0
    alone = corrupt(histories[:1], lengths[:1], 99, 0.0, torch.Generator(), own_segments=False)
    assert ((alone.neg_segment > 0) & (alone.neg_segment <= 99)).all()


def test_single_items_without_a_segment(
    model: S3Rec, small_config: MakeConfig, small_dataset: SequentialDataset
) -> None:
    features = PretrainObjective(model, small_dataset, small_config()).features
    histories, lengths = torch.tensor([[0, 0, 0, 5], [1, 2, 3, 4]]), torch.tensor([1, 4])
    batch = corrupt(histories, lengths, model.mask_token, 0.2, torch.Generator().manual_seed(1))
    with_single = pretrain_losses(model, batch, features, None)
    without = pretrain_losses(model, batch, features, None, single_segments=False)
    # Without dropout the three encodings of a single item are one, whose sigmoids differ by nothing: log 2.
    assert (with_single.sp - without.sp).item() == pytest.approx(0.693147, abs=1e-4)
    assert with_single.aap.item() == without.aap.item()
