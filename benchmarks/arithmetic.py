"""What S3Rec's epoch needs in matrix products, and how fast this machine is at them."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from model.config import Config
from model.data import SequentialDataset


def matmul_rate(size: int = 1536, seconds: float = 1.0) -> float:
    """Floating-point operations per second of large square products, the best of some."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    best, begun = float("inf"), time.perf_counter()
    while time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def useful_operations(stage: str, config: Config, dataset: SequentialDataset) -> float:
    """Floating-point operations of an epoch's products that the losses depend on, forward and backward.

    No padding; in the last layer only what the positions that are used depend on. A backward pass costs twice its
    forward pass.
    """
    length = dataset.train.length.double()
    layers, width = config["n_layers"], config["hidden_size"]
    if stage == "finetune":
        scores = 2 * width * (dataset.item_num + 1)
        return 3 * float((_encoder(length, config, layers - 1) + _last(length, config) + scores).sum())
    attributes = dataset.item_attributes(config["item_attribute"]).num - 1
    per_position = 2 * width * (width + attributes) + config["mask_ratio"] * 2 * width * width
    masked = _encoder(length, config, layers) + length * per_position
    segments = 3 * (_encoder(length, config, layers - 1) + _last(length, config))
    return 3 * float((masked + segments).sum())


def _encoder(length: Tensor, config: Config, layers: int) -> Tensor:
    width, inner = config["hidden_size"], config["inner_size"]
    per_token = 2 * (4 * width * width + 2 * width * inner)
    return torch.as_tensor(layers * (length * per_token + 4 * length * length * width))


def _last(length: Tensor, config: Config) -> Tensor:
    width, inner = config["hidden_size"], config["inner_size"]
    constant = 2 * (2 * width * width + 2 * width * inner)
    return length.mul(4 * width * width + 4 * width).add(constant)
