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
    lookup,
)
from model.randomness import torch_generator

HIDDEN = -10000.0


def layer(activation: str = "gelu", attn_dropout: float = 0.5, hidden_dropout: float = 0.3) -> TransformerLayer:
    made = TransformerLayer(
        MultiHeadAttention(8, 2, hidden_dropout, attn_dropout, 1e-12),
        FeedForward(8, 12, activation, hidden_dropout, 1e-12),
    ).double()
    generator = torch_generator(1, "weights")
    for parameter in made.parameters():
        parameter.data.normal_(0.0, 0.5, generator=generator)
    return made


def histories() -> tuple[torch.Tensor, torch.Tensor]:
    """Values [3, 5, 8], and a bias [3, 1, 5] that hides the first one or two keys of two rows."""
    x = torch.randn(3, 5, 8, generator=torch_generator(1, "x"), dtype=torch.float64, requires_grad=True)
    hidden = torch.arange(5) < torch.tensor([[0], [1], [2]])
    return x, hidden[:, None].double() * HIDDEN


def noise() -> Noise:
    return Noise(torch_generator(1, "noise"))


def textbook(made: TransformerLayer, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """The layer as a paper writes it, without dropout."""
    attention, feed_forward = made.multi_head_attention, made.feed_forward

    def split(y: torch.Tensor) -> torch.Tensor:
        return y.view(*y.shape[:2], 2, -1).transpose(1, 2)

    q, k, v = split(attention.query(x)), split(attention.key(x)), split(attention.value(x))
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if bias is not None:
        scores = scores + bias[:, None]
    context = (scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape)
    middle = attention.LayerNorm(attention.dense(context) + x)
    activation = ACTIVATIONS[feed_forward._options.activation][0]
    return feed_forward.LayerNorm(feed_forward.dense_2(activation(feed_forward.dense_1(middle))) + middle)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_layer_is_the_textbook_s(activation: str, with_bias: bool) -> None:
    made, (x, bias) = layer(activation), histories()
    wanted = textbook(made, x, bias if with_bias else None)
    assert torch.allclose(made(x, bias if with_bias else None, None), wanted)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_layer_s_own_gradients_are_those_of_finite_differences_dropout_included(
    activation: str, with_bias: bool
) -> None:
    made, (x, bias) = layer(activation), histories()
    inputs = x, *made.parameters()
    # gradcheck nudges the inputs in place, so the module sees the nudged weights.
    assert torch.autograd.gradcheck(lambda *_: made(x, bias if with_bias else None, noise()), inputs)


def test_one_position_has_the_gradients_of_the_full_computation() -> None:
    made, (x, bias) = layer(), histories()
    positions, rows = torch.tensor([0, 2, 4]), torch.arange(3)
    gradients = []
    for out in (made.at_positions(x, positions, bias, None), made(x, bias, None)[rows, positions]):
        made.zero_grad()
        x.grad = None
        out.square().sum().backward()
        gradients.append({name: p.grad for name, p in [*made.named_parameters(), ("x", x)]})
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-9), name


def test_dropout_at_one_position_leaves_the_expected_value() -> None:
    """Dropped attention weights change what the values' bias adds; the mean over draws is the value without dropout."""
    made, (x, bias) = layer(hidden_dropout=0.0), histories()
    attention, positions = made.multi_head_attention, torch.tensor([0, 2, 4])
    attention.LayerNorm = torch.nn.Identity()  # type: ignore[assignment]
    stream = Noise(torch_generator(1, "many"))
    draws = torch.stack([attention.at_positions(x, positions, bias, stream) for _ in range(4000)])
    wanted = attention.at_positions(x, positions, bias, None)
    error = (draws.mean(0) - wanted).abs() / (draws.std(0) / math.sqrt(len(draws)) + 1e-12)
    assert error.max() < 5


def test_a_look_up_s_gradient_is_torch_s() -> None:
    ids, generator = torch.tensor([[3, 0, 1], [3, 3, 2]]), torch_generator(1, "rows")
    embedding = torch.nn.Embedding(5, 4, padding_idx=0)
    weights = torch.randn(2, 3, 4, generator=generator)
    (embedding(ids) * weights).sum().backward()
    wanted, embedding.weight.grad = embedding.weight.grad, None
    out = lookup(ids, embedding)
    assert torch.equal(out, embedding(ids))
    (out * weights).sum().backward()
    assert torch.allclose(embedding.weight.grad, wanted)


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
