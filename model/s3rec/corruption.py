"""Pretraining batches: masked items, negatives, segments; built by tensor operations, no loop over rows.

Everything is left padded to L, as RecBole does in pretraining. The distributions are RecBole's; what it draws row by
row from Python's generator is drawn here for the whole batch from a named one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.data.sequences import Samples


@dataclass(frozen=True)
class PretrainBatch:
    """What the four losses compare; all int64 [B, L], left padded with 0.

    Attributes:
        masked_item_sequence: the history with some items replaced by the mask token.
        pos_items: the history.
        neg_items: at masked positions an item outside the history, elsewhere the item itself.
        masked_segment_sequence: the history with one segment replaced by mask tokens.
        pos_segment: that segment, mask tokens around it.
        neg_segment: as many items from the batch's histories, in the segment's place.
    """

    masked_item_sequence: Tensor
    pos_items: Tensor
    neg_items: Tensor
    masked_segment_sequence: Tensor
    pos_segment: Tensor
    neg_segment: Tensor

    def part(self, rows: slice, width: int) -> PretrainBatch:
        """Some rows, cut to the last ``width`` columns."""
        return PretrainBatch(*(getattr(self, name)[rows, -width:] for name in self.__dataclass_fields__))


def left_padded(samples: Samples, rows: Tensor, width: int) -> Tensor:
    """Histories of ``rows``, left padded with 0: int64 [B, width]."""
    length = samples.length[rows, None]
    columns = torch.arange(width, device=length.device) - (width - length)
    index = (samples.start[rows, None] + columns).clamp_(0, len(samples.items) - 1)
    return samples.items[index].masked_fill_(columns < 0, 0)


def corrupt(
    histories: Tensor,
    lengths: Tensor,
    mask_token: int,
    mask_ratio: float,
    generator: torch.Generator,
    highest_negative: int | None = None,
    *,
    own_segments: bool = True,
) -> PretrainBatch:
    """Draw one pretraining batch.

    Args:
        histories: int64 [B, L], left padded with 0.
        lengths: int64 [B], at least 1.
        mask_token: id of the mask token, one above the last item.
        mask_ratio: chance of every item to be masked.
        highest_negative: last id that negatives are drawn from; the mask token, as in RecBole, unless given.
        own_segments: whether a wrong segment may come from the history itself, as in RecBole.
    """
    real = histories > 0
    masked = (_uniform(histories.shape, generator) < mask_ratio) & real
    negatives = draw_outside(histories, highest_negative or mask_token, _uniform(histories.shape, generator))
    segments = _segments(histories, lengths, mask_token, generator, own_segments)
    return PretrainBatch(
        histories.masked_fill(masked, mask_token), histories, torch.where(masked, negatives, histories), *segments
    )


def draw_outside(histories: Tensor, highest: int, uniform: Tensor) -> Tensor:
    """For every position an id from 1..highest that is not in the position's row, uniformly.

    No rejection: the u-th id outside a sorted set s_1 < ... < s_k is u + c, where c counts the s_j with at most u
    outsiders below them, and s_j has s_j - j of them.

    Args:
        histories: int64 [B, L], 0 where there is no item. Not every id of 1..highest may occur in one row.
        uniform: [B, L] in [0, 1).
    """
    ordered = histories.sort(dim=1).values
    fresh = torch.ones_like(ordered, dtype=torch.bool)
    fresh[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    fresh &= ordered > 0
    rank = fresh.cumsum(1)
    # Repeated items and padding stand for nothing: like the distinct item before them (0: below all).
    below = (ordered - rank).masked_fill_(ordered == 0, -1)
    outsiders = highest - rank[:, -1:]
    drawn = (uniform * outsiders).long().clamp_(max=outsiders - 1)
    # Distinct items among the first columns whose count of outsiders below is at most `drawn`.
    columns = torch.searchsorted(below, drawn, right=True)
    counted = torch.cat([torch.zeros_like(rank[:, :1]), rank], dim=1).gather(1, columns)
    return drawn + 1 + counted


def _segments(
    histories: Tensor, lengths: Tensor, mask_token: int, generator: torch.Generator, own: bool
) -> tuple[Tensor, Tensor, Tensor]:
    width = histories.shape[1]
    size = 1 + _integers(lengths // 2, generator)  # 1..n // 2
    start = _integers(lengths - size + 1, generator)
    # The pool is all histories of the batch, one after the other; a segment of it may cross users.
    ends = lengths.cumsum(0)
    from_pool = _integers(ends[-1] - size + 1, generator) if own else _elsewhere(lengths, size, generator)
    place = torch.arange(width, device=histories.device) - (width - lengths[:, None])
    inside = (place >= start[:, None]) & (place < (start + size)[:, None])
    index = (from_pool[:, None] + place - start[:, None]).clamp_(min=0).clamp_(max=ends[-1] - 1)
    owner = torch.searchsorted(ends, index, right=True)
    column = width - ends[owner] + index
    pooled = histories[owner, column]
    # A history of one item has no segment: all three are the history itself.
    inside_or_single = inside | (lengths < 2)[:, None]
    real = histories > 0
    single = (lengths < 2)[:, None]
    masked = torch.where(inside & ~single, mask_token, histories)
    positive = torch.where(inside_or_single, histories, mask_token)
    negative = torch.where(inside & ~single, pooled, positive)
    return masked, positive * real, negative * real


def _elsewhere(lengths: Tensor, size: Tensor, generator: torch.Generator) -> Tensor:
    """Where in the pool a segment of other histories begins: before a history's own place, or after it."""
    ends = lengths.cumsum(0)
    before = (ends - lengths - size + 1).clamp_(min=0)
    after = (ends[-1] - ends - size + 1).clamp_(min=0)
    drawn = _integers(before + after, generator)
    # A batch of one history has no other: it keeps its own.
    anywhere = drawn.clamp(max=ends[-1] - size)
    return torch.where(before + after == 0, anywhere, torch.where(drawn < before, drawn, ends + drawn - before))


def _uniform(shape: torch.Size, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float64)


def _integers(bounds: Tensor, generator: torch.Generator) -> Tensor:
    """One integer of 0..bound - 1 per entry (0 where the bound is below 1)."""
    drawn = (_uniform(bounds.shape, generator) * bounds).long()
    return drawn.clamp_(min=0)
