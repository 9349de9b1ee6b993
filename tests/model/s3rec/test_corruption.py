"""Pretraining batches obey the rules of the contract, whatever is drawn, and have its distributions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.randomness import torch_generator
from model.s3rec.corruption import PretrainBatch, corrupt, draw_outside

MASK = 12  # items 1..11
histories_strategy = st.lists(st.lists(st.integers(1, MASK - 1), min_size=1, max_size=8), min_size=1, max_size=6)


def left_pad(rows: list[list[int]], width: int = 8) -> Tensor:
    return torch.tensor([[0] * (width - len(row)) + row for row in rows])


def draw(rows: list[list[int]], seed: int, ratio: float = 0.3) -> PretrainBatch:
    lengths = torch.tensor([len(row) for row in rows])
    return corrupt(left_pad(rows), lengths, MASK, ratio, torch_generator(seed, "test"))


@given(histories_strategy, st.integers(0, 1000))
@settings(max_examples=150, deadline=None)
def test_every_batch_obeys_the_rules(rows: list[list[int]], seed: int) -> None:
    batch, histories = draw(rows, seed), left_pad(rows)
    masked = batch.masked_item_sequence == MASK
    assert torch.equal(batch.masked_item_sequence[~masked], histories[~masked])
    assert torch.equal(batch.neg_items[~masked], histories[~masked])
    assert not masked[histories == 0].any()
    for row, negatives, where in zip(rows, batch.neg_items, masked, strict=True):
        assert not set(negatives[where].tolist()) & set(row)
        assert all(1 <= item <= MASK for item in negatives[where].tolist())
    pool = [item for row in rows for item in row]
    windows = {size: [pool[i : i + size] for i in range(len(pool) - size + 1)] for size in range(1, 5)}
    for index, row in enumerate(rows):
        _check_segment(row, windows, *(tensor[index, -len(row) :].tolist() for tensor in _segments(batch)))
        assert all((tensor[index, : 8 - len(row)] == 0).all() for tensor in _segments(batch))


def _segments(batch: PretrainBatch) -> tuple[Tensor, Tensor, Tensor]:
    return batch.masked_segment_sequence, batch.pos_segment, batch.neg_segment


def _check_segment(
    row: list[int], windows: dict[int, list[list[int]]], masked: list[int], positive: list[int], negative: list[int]
) -> None:
    if len(row) == 1:
        assert masked == positive == negative == row
        return
    inside = [place for place, item in enumerate(masked) if item == MASK]
    assert 1 <= len(inside) <= len(row) // 2
    assert inside == list(range(inside[0], inside[-1] + 1))
    for place, item in enumerate(row):
        assert (masked[place], positive[place]) == ((MASK, item) if place in inside else (item, MASK))
        assert place in inside or negative[place] == MASK
    assert [negative[place] for place in inside] in windows[len(inside)]


def test_one_stream_gives_one_batch() -> None:
    rows = [[1, 2, 3, 4], [5, 6], [7]]
    first, second, other = draw(rows, 1), draw(rows, 1), draw(rows, 2)
    names = PretrainBatch.__dataclass_fields__
    assert all(torch.equal(getattr(first, name), getattr(second, name)) for name in names)
    assert any(not torch.equal(getattr(first, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize("row", [[3], [1, 2, 3], [11, 11, 1, 5], list(range(1, 12))])
def test_negatives_are_uniform_over_what_is_outside_the_history(row: list[int]) -> None:
    number = 60_000
    histories = left_pad([row], 12).repeat(number // 12, 1)
    uniform = torch.rand(histories.shape, generator=torch_generator(1, "uniform"), dtype=torch.float64)
    drawn = draw_outside(histories, MASK, uniform)
    counts = torch.bincount(drawn.flatten(), minlength=MASK + 1)
    outside = sorted(set(range(1, MASK + 1)) - set(row))
    assert counts.nonzero()[:, 0].tolist() == outside
    expected = drawn.numel() / len(outside)
    assert (counts[outside] - expected).abs().max() < 5 * expected**0.5


def test_masks_and_segments_have_the_distributions_of_the_contract() -> None:
    rows = [[1, 2, 3, 4, 5, 6]] * 20_000
    batch = draw(rows, 3, ratio=0.2)
    share = (batch.masked_item_sequence == MASK).sum() / (6 * len(rows))
    assert share.item() == pytest.approx(0.2, abs=0.005)
    inside = batch.masked_segment_sequence[:, -6:] == MASK
    sizes = torch.bincount(inside.sum(1), minlength=4)[1:] / len(rows)
    assert torch.allclose(sizes, torch.full((3,), 1 / 3), atol=0.02)
    starts = inside.int().argmax(1)[inside.sum(1) == 2]
    assert torch.allclose(torch.bincount(starts, minlength=5) / len(starts), torch.full((5,), 0.2), atol=0.02)
