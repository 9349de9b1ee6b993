"""Small networks for the tests of SURGE."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from model.surge.network import ItemEmbedding, SurgeNetwork
from model.surge.shape import Shape

ITEMS = 41
LONGEST = 12


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


def make(variant: str = "released", *, dropout: float = 0.0, items: int = ITEMS, **changes: object) -> SurgeNetwork:
    """A network whose batch normalisations have seen something."""
    values: dict[str, object] = {
        "width": 8,
        "hidden": 6,
        "heads": 1,
        "metric_heads": 2,
        "threshold": 0.4,
        "metric_trained": True,
        "pool_length": 4,
        "longest": LONGEST,
        "attention_sizes": (10, 7),
        "activation": "relu",
        "prediction_sizes": (9, 5),
        "normalized": True,
        "positioned": True,
        "constant": False,
    }
    shape = Shape(**{**values, **changes})  # type: ignore[arg-type]
    network = SurgeNetwork(variant, ItemEmbedding(items, shape.width, None, 0, 0), shape, dropout)
    generator = torch.Generator().manual_seed(7)
    network.reset(generator)
    with torch.no_grad():
        # Embeddings of everyday size: at the initial scale all scores are alike.
        network.embedding.items.weight.mul_(25)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 2.0, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
    return network.eval()


@pytest.fixture
def make_network() -> Callable[..., SurgeNetwork]:
    return make


@pytest.fixture
def histories() -> tuple[Tensor, Tensor]:
    """Right-padded histories without repetition, of lengths 1 to LONGEST."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([12, 1, 7, 4, 5, 9, 2, 12])
    rows = torch.stack([torch.randperm(ITEMS - 1, generator=generator)[:LONGEST] + 1 for _ in lengths])
    return rows.masked_fill(torch.arange(LONGEST) >= lengths[:, None], 0), lengths
