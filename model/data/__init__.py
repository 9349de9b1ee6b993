"""Data sets: atomic files -> filtered interactions -> samples as flat tensors."""

from __future__ import annotations

from model.data.dataset import Attributes, SequentialDataset, load_dataset
from model.data.fields import Ragged
from model.data.sequences import Samples

__all__ = ["Attributes", "Ragged", "Samples", "SequentialDataset", "load_dataset"]
