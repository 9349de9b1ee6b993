"""Interactions -> samples: a history and the item that came next.

Samples are windows into one flat array of events, not lists: sample i has the history
``items[start[i]:start[i] + length[i]]``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """Histories with their next items.

    Attributes:
        items: int64 [E], events of all users one after the other, each user's in order of time.
        start, length: int64 [n], the history's window in ``items``; length is at least 1.
        target: int64 [n], the item that came next.
        user: int64 [n].
        time: float32 [n], time of the target (0 where the data has none).
    """

    items: Tensor
    start: Tensor
    length: Tensor
    target: Tensor
    user: Tensor
    time: Tensor

    def __len__(self) -> int:
        return len(self.target)

    def select(self, rows: Tensor) -> Samples:
        """The samples of these rows, over the same events."""
        return replace(
            self,
            start=self.start[rows],
            length=self.length[rows],
            target=self.target[rows],
            user=self.user[rows],
            time=self.time[rows],
        )

    def lengths(self, rows: Tensor) -> Tensor:
        """Lengths of the histories of ``rows``, int64 [B]."""
        return self.length[rows]

    def padded(self, rows: Tensor, width: int) -> Tensor:
        """Histories of ``rows``, right padded with 0: int64 [B, width].

        ``width`` must be at least the longest of these histories.
        """
        columns = torch.arange(width, device=self.start.device)
        inside = columns < self.length[rows, None]
        # Past a history's end the window may leave the array; any index will do, the value is masked.
        index = (self.start[rows, None] + columns).clamp_(max=max(len(self.items) - 1, 0))
        return self.items[index].masked_fill_(~inside, 0)

    def to(self, device: torch.device | str) -> Samples:
        """The samples with all tensors on ``device``."""
        moved = {name: getattr(self, name).to(device) for name in self.__dataclass_fields__}
        return Samples(**moved)


def build_samples(users: np.ndarray, items: np.ndarray, times: np.ndarray, longest: int) -> Samples:
    """Every prefix of every user's events with the event that follows, in order of the target's time.

    Events are sorted by user and, within a user, by time; equal times (in float32, as RecBole compares them) keep
    the order of the file. Histories keep their last ``longest`` events. A user with one event gives no sample.

    Args:
        users, items: int64 [E] in the order of the file.
        times: float32 [E].
    """
    order = np.lexsort((times, users))  # stable, last key first
    users, items, times = users[order], items[order], times[order]
    events = np.arange(len(users))
    first_of_user = np.searchsorted(users, users)
    has_history = events > first_of_user
    targets = events[has_history]
    first = first_of_user[has_history]
    start = np.maximum(first, targets - longest)
    by_time = np.argsort(times[targets], kind="stable")
    targets, start = targets[by_time], start[by_time]
    return Samples(
        items=torch.from_numpy(items),
        start=torch.from_numpy(start),
        length=torch.from_numpy(targets - start),
        target=torch.from_numpy(items[targets]),
        user=torch.from_numpy(users[targets]),
        time=torch.from_numpy(times[targets]),
    )
