"""Popularity's scores."""

from __future__ import annotations

import torch
from torch import Tensor

from model.config import Config
from model.data import SequentialDataset
from model.recommender import Recommender


class Popularity(Recommender):
    """Scores an item by how often it is a target in training; the history does not matter.

    Args:
        counts: float [item_num].
    """

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.register_buffer("counts", counts)
        self.counts: Tensor

    def score_all(self, histories: Tensor, lengths: Tensor) -> Tensor:
        """See :meth:`Recommender.score_all`."""
        return self.counts.repeat(len(histories), 1)

    def score(self, histories: Tensor, lengths: Tensor, candidates: Tensor) -> Tensor:
        """See :meth:`Recommender.score`."""
        return self.counts[candidates]


def build(config: Config, dataset: SequentialDataset) -> Popularity:
    """The counts of a data set's training targets."""
    return Popularity(torch.bincount(dataset.train.target, minlength=dataset.item_num).float())
