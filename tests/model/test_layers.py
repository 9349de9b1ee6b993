"""The fast forms of attention and dropout are the textbook ones."""

from __future__ import annotations

import math

import pytest
import torch

from model.layers import (
    ACTIVATIONS,
    FeedForward,
    MultiHeadAttention,
    Noise,
    TransformerEncoder,
    TransformerLayer,
    _Attention,
    _FeedForward,
)
from model.randomness import torch_generator


def textbook(query: torch.Tensor, key_value: torch.Tensor, heads: int, bias: torch.Tensor | None) -> torch.Tensor:
    def split(x: torch.Tensor) -> torch.Tensor:
        return x.view(*x.shape[:2], heads, -1).transpose(1, 2)

    key, value = key_value.chunk(2, dim=-1)
    q, k, v = split(query), split(key), split(value)
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if bias is not None:
        scores = scores + bias[:, None]
    return (scores.softmax(-1) @ v).transpose(1, 2).reshape(query.shape)


@pytest.mark.parametrize("queries", [1, 5])
@pytest.mark.parametrize("with_bias", [True, False])
def test_attention_on_slices_equals_the_textbook_and_so_does_its_gradient(queries: int, with_bias: bool) -> None:
    generator = torch_generator(1, "attention")
    shape = {"generator": generator, "dtype": torch.float64, "requires_grad": True}
    query, key_value = torch.randn(3, queries, 8, **shape), torch.randn(3, 5, 16, **shape)
    bias = torch.randn(3, queries, 5, generator=generator, dtype=torch.float64) if with_bias else None
    ours = _Attention.apply(query, key_value, 2, bias, None)  # type: ignore[no-untyped-call]
    assert torch.allclose(ours, textbook(query, key_value, 2, bias))
    factors = Noise(generator).factors((2, 3, queries, 5), 0.5, torch.float64)
    assert torch.autograd.gradcheck(lambda q, kv: _Attention.apply(q, kv, 2, bias, factors), (query, key_value))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_feed_forward_in_blocks_equals_the_textbook_and_so_does_its_gradient(
    activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.layers._FEED_FORWARD_ROWS", 3)
    generator = torch_generator(1, "feed-forward")
    shapes = [(7, 4), (6, 4), (6,), (4, 6), (4,)]
    tensors = [torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]
    x, weight_1, bias_1, weight_2, bias_2 = tensors
    textbook = ACTIVATIONS[activation][0](x @ weight_1.T + bias_1) @ weight_2.T + bias_2
    assert torch.allclose(_FeedForward.apply(*tensors, activation), textbook)  # type: ignore[no-untyped-call]
    assert torch.autograd.gradcheck(lambda *t: _FeedForward.apply(*t, activation), tensors)


def encoder(layers: int) -> TransformerEncoder:
    torch.manual_seed(0)
    return TransformerEncoder(
        TransformerLayer(MultiHeadAttention(8, 2, 0.5, 0.5, 1e-12), FeedForward(8, 16, "gelu", 0.5, 1e-12)), layers
    )


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_one_position_of_the_last_layer_is_the_row_of_the_full_computation(layers: int) -> None:
    model, x = encoder(layers), torch.randn(4, 6, 8, generator=torch_generator(1, "x"))
    positions = torch.tensor([0, 2, 5, 3])
    bias = torch.full((6, 6), -10000.0).triu(1).expand(4, -1, -1)
    rows = torch.arange(4)
    short = model.at_positions(x, positions, bias, bias[rows, positions, None], None)
    assert torch.allclose(short, model(x, bias, None)[rows, positions], atol=1e-6)


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_dropout_keeps_the_right_share_and_the_mean(p: float) -> None:
    factors = Noise(torch_generator(1, "noise")).factors((1000, 1000), p, torch.float64)
    assert (factors == 0).double().mean().item() == pytest.approx(p, abs=0.002)
    assert factors.mean().item() == pytest.approx(1, abs=0.005)
    assert len(factors.unique()) == 2


def test_dropout_is_a_function_of_its_stream() -> None:
    def drawn(name: str) -> torch.Tensor:
        noise = Noise(torch_generator(1, name))
        return torch.stack([noise(torch.ones(50), 0.5), noise(torch.ones(50), 0.5)])

    assert torch.equal(drawn("a"), drawn("a"))
    assert not torch.equal(drawn("a"), drawn("b"))
    assert not torch.equal(*drawn("a"))


def test_neighbouring_values_are_dropped_independently() -> None:
    kept = Noise(torch_generator(2, "noise")).factors((200_000,), 0.5, torch.float64) > 0
    for distance in range(1, 17):
        agree = (kept[distance:] == kept[:-distance]).double().mean().item()
        assert agree == pytest.approx(0.5, abs=0.006)


def test_no_probability_is_no_dropout() -> None:
    x = torch.randn(5)
    assert Noise(torch_generator(1, "x"))(x, 0.0) is x
