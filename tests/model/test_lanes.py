"""Threads share a batch without changing what is computed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from model.lanes import Lanes


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def gradients(parts: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    model = nn.Linear(4, 2, dtype=torch.float64)
    x = torch.arange(8.0 * parts, dtype=torch.float64).view(parts, 2, 4)
    loss = Lanes(model).backward(lambda network, part: network(x[part]).square().sum(), parts)
    assert model.weight.grad is not None
    return loss, model.weight.grad


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_threads_add_up_to_the_whole(parts: int, three_threads: None) -> None:
    together, alone = gradients(parts), gradients(parts)
    assert all(torch.equal(*pair) for pair in zip(together, alone, strict=True))
    torch.set_num_threads(1)
    alone = gradients(parts)
    assert all(torch.allclose(*pair, rtol=1e-12) for pair in zip(together, alone, strict=True))


def test_the_number_of_threads_is_put_back_also_after_an_error(three_threads: None) -> None:
    def fails(network: nn.Module, part: int) -> Tensor:
        raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match="part 0"):
        Lanes(nn.Linear(4, 2)).backward(fails, 5)
    assert torch.get_num_threads() == 3


def test_copies_follow_the_model_s_weights(three_threads: None) -> None:
    model = nn.Linear(1, 1, bias=False)
    lanes = Lanes(model)

    def loss(network: nn.Module, part: int) -> Tensor:
        out: Tensor = network(torch.ones(1)).sum()
        return out

    for weight in (1.0, 5.0):
        model.weight = nn.Parameter(torch.tensor([[weight]]))
        assert lanes.backward(loss, 3).item() == 3 * weight
