"""Negative samples for losses that compare the next item with others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from model.data import SequentialDataset
from model.errors import DataError


class NegativeSampler:
    """Items that are not the target; items of the history are allowed, as in RecBole.

    ``uniform`` draws from all items, ``popularity`` in proportion to how often an item is a target in any split,
    raised to ``alpha``.

    Args:
        arguments: ``train_neg_sample_args``.
        device: where targets will lie.

    Raises:
        DataError: there are not two items to choose from.
    """

    def __init__(self, dataset: SequentialDataset, arguments: Mapping[str, Any], device: torch.device) -> None:
        self._number = int(arguments["sample_num"])
        self._items = dataset.item_num
        self._steps: Tensor | None = None
        choices = self._items - 1
        if arguments["distribution"] == "popularity":
            targets = torch.cat([dataset.train.target, dataset.valid.target, dataset.test.target])
            counts = torch.bincount(targets, minlength=self._items).double()
            # An item that is never a target is never drawn, whatever alpha is (0 ** 0 would be 1).
            weights = torch.where(counts > 0, counts ** float(arguments["alpha"]), 0.0)
            weights[0] = 0
            choices = int((weights > 0).sum())
            self._steps = weights.cumsum(0).to(device)
        if choices < 2:
            raise DataError(f"{dataset.name}: negative sampling needs two different items, there is {choices}.")

    def __call__(self, targets: Tensor, generator: torch.Generator) -> Tensor:
        """int64 [B, sample_num] for targets [B]."""
        shape = (len(targets), self._number)
        uniform = torch.rand(shape, generator=generator, device=targets.device, dtype=torch.float64)
        if self._steps is None:
            # Uniform over the other items: the target's place is skipped, so nothing is ever drawn anew.
            drawn = 1 + (uniform * (self._items - 2)).long()
            return drawn + (drawn >= targets[:, None])
        steps = self._steps
        below, own = steps[targets - 1][:, None], (steps[targets] - steps[targets - 1])[:, None]
        point = uniform * (steps[-1] - own)
        point = torch.where(point >= below, point + own, point)
        return torch.searchsorted(steps, point, right=True).clamp_(max=self._items - 1)

    def log_share(self, items: Tensor) -> Tensor | None:
        """log of the chance that one draw is the item, float [...]; None where it is the same for all.

        A model trained against popular negatives learns to discount popularity. Subtracting this from its logits
        in training leaves it a score that ranks all items.
        """
        if self._steps is None:
            return None
        share = (self._steps[items] - self._steps[items - 1]) / self._steps[-1]
        return share.clamp(min=1e-12).log().float()
