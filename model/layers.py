"""The transformer encoder, and the noise that training adds.

Parameter names and shapes are RecBole's. Written for speed where it matters on a CPU: attention works on slices of
one projection without moving memory, noise comes from raw random bits, and the last layer computes the last position
only when nobody asks for the others.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_Activation = tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]

# Activation and its gradient, given the gradient of the output and the input.
ACTIVATIONS: dict[str, _Activation] = {
    "gelu": (F.gelu, torch.ops.aten.gelu_backward),  # the exact form with erf, as RecBole's
    "relu": (F.relu, lambda grad, x: torch.ops.aten.threshold_backward(grad, x, 0)),
    "swish": (F.silu, torch.ops.aten.silu_backward),
    "tanh": (torch.tanh, lambda grad, x: torch.ops.aten.tanh_backward(grad, torch.tanh(x))),
    "sigmoid": (torch.sigmoid, lambda grad, x: torch.ops.aten.sigmoid_backward(grad, torch.sigmoid(x))),
}

# Rows of a feed-forward layer computed at once on a CPU: its inner values then stay in the second-level cache.
_FEED_FORWARD_ROWS = 512


class Noise:
    """Dropout from one named stream of random bits.

    torch's own dropout on a CPU draws a float per value and takes half of the training time. Here a value is kept
    when an 8-bit random number (16-bit where the probability is no multiple of 1/256) reaches a threshold, so the
    probability is exact to 1/65536 and one 64-bit draw serves up to eight values.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def factors(self, shape: Sequence[int], p: float, dtype: torch.dtype) -> Tensor:
        """Factors of ``shape``: 0 with probability ``p``, else 1 / (1 - p)."""
        coarse = (p * 256).is_integer()
        levels, kind, per_word = (256, torch.uint8, 8) if coarse else (65536, torch.int16, 4)
        count = math.prod(shape)
        words = torch.empty(-(-count // per_word), dtype=torch.int64, device=self._generator.device)
        # random_() without bounds leaves the sign bit at 0; from the lowest value all 64 bits are random.
        words.random_(torch.iinfo(torch.int64).min, None, generator=self._generator)
        bits = words.view(kind)[:count].view(tuple(shape))
        dropped = round(p * levels)
        threshold = dropped if coarse else dropped - 32768
        return (bits >= threshold).to(dtype).mul_(levels / (levels - dropped))

    def __call__(self, x: Tensor, p: float) -> Tensor:
        """Dropout of ``x`` with probability ``p``."""
        return x if p == 0 else x * self.factors(x.shape, p, x.dtype)


def dropout(x: Tensor, p: float, noise: Noise | None) -> Tensor:
    """Dropout with ``noise``, or ``x`` itself when there is none (evaluation)."""
    return x if noise is None else noise(x, p)


class _Attention(torch.autograd.Function):
    """Softmax attention of every head on column slices of the projections.

    The heads' matrices are strided views of the projections, so the usual reshape to [B, heads, l, d] and back, an
    eighth of the training time, is left out. Products are copied into their slice of the output: written there
    directly they would run row by row.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key_value: Tensor, heads: int, bias: Tensor | None, factors: Tensor | None
    ) -> Tensor:
        """query [B, q, H], key_value [B, k, 2H], bias broadcast to [B, q, k], factors [heads, B, q, k] -> [B, q, H]."""
        rows, positions, width = query.shape
        size = width // heads
        scale = 1 / math.sqrt(size)
        out = torch.empty_like(query)
        weights = query.new_empty(heads, rows, positions, key_value.shape[1])
        for head in range(heads):
            q, k, v = _slices(query, key_value, head, size)
            scores = torch.baddbmm(bias, q, k.mT, alpha=scale) if bias is not None else torch.bmm(q, k.mT).mul_(scale)
            torch.softmax(scores, -1, out=weights[head])
            used = weights[head] if factors is None else weights[head] * factors[head]
            out[..., head * size : (head + 1) * size] = torch.bmm(used, v)
        ctx.heads = heads
        ctx.save_for_backward(query, key_value, weights, factors)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query and key_value."""
        query, key_value, weights, factors = ctx.saved_tensors
        grad = grads[0]
        size = query.shape[-1] // ctx.heads
        scale = 1 / math.sqrt(size)
        d_query, d_key_value = torch.empty_like(query), torch.empty_like(key_value)
        for head in range(ctx.heads):
            q, k, v = _slices(query, key_value, head, size)
            dq, dk, dv = _slices(d_query, d_key_value, head, size)
            d_out = grad[..., head * size : (head + 1) * size]
            used = weights[head] if factors is None else weights[head] * factors[head]
            dv.copy_(torch.bmm(used.mT, d_out))
            d_weights = torch.bmm(d_out, v.mT)
            if factors is not None:
                d_weights.mul_(factors[head])
            d_scores = torch._softmax_backward_data(d_weights, weights[head], -1, weights.dtype).mul_(scale)
            dq.copy_(torch.bmm(d_scores, k))
            dk.copy_(torch.bmm(d_scores.mT, q))
        return d_query, d_key_value, None, None, None


def _slices(query: Tensor, key_value: Tensor, head: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    columns = slice(head * size, (head + 1) * size)
    keys, values = key_value.chunk(2, dim=-1)
    return query[..., columns], keys[..., columns], values[..., columns]


class _FeedForward(torch.autograd.Function):
    """Linear, activation, linear, a few rows at a time.

    The inner layer is the widest thing in the network. Kept for the backward pass it would be written to memory and
    read back several times; computed again there, block by block, it never leaves the cache.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight_1: Tensor, bias_1: Tensor, weight_2: Tensor, bias_2: Tensor, activation: str
    ) -> Tensor:
        """x [N, H], weight_1 [I, H], weight_2 [H, I] -> [N, H]."""
        function = ACTIVATIONS[activation][0]
        out = torch.empty_like(x)
        for rows in _blocks(x):
            inner = torch.addmm(bias_1, x[rows], weight_1.T)
            torch.addmm(bias_2, function(inner), weight_2.T, out=out[rows])
        ctx.activation = activation
        ctx.save_for_backward(x, weight_1, bias_1, weight_2)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, the weights and the biases."""
        x, weight_1, bias_1, weight_2 = ctx.saved_tensors
        grad = grads[0].contiguous()
        function, gradient = ACTIVATIONS[ctx.activation]
        d_x, d_bias_1 = torch.empty_like(x), torch.zeros_like(bias_1)
        d_weight_1, d_weight_2 = torch.zeros_like(weight_1), torch.zeros_like(weight_2)
        for rows in _blocks(x):
            inner = torch.addmm(bias_1, x[rows], weight_1.T)
            d_weight_2.addmm_(grad[rows].T, function(inner))
            d_inner = gradient(grad[rows] @ weight_2, inner)
            d_weight_1.addmm_(d_inner.T, x[rows])
            d_bias_1 += d_inner.sum(0)
            torch.mm(d_inner, weight_1, out=d_x[rows])
        return d_x, d_weight_1, d_bias_1, d_weight_2, grad.sum(0), None


def _blocks(x: Tensor) -> Iterator[slice]:
    step = _FEED_FORWARD_ROWS if x.device.type == "cpu" else len(x)
    return (slice(start, start + step) for start in range(0, len(x), step))


class MultiHeadAttention(nn.Module):
    """Attention with output projection, residual and layer norm (after the sum)."""

    def __init__(self, width: int, heads: int, hidden_dropout: float, attn_dropout: float, eps: float) -> None:
        super().__init__()
        self.heads, self.hidden_dropout, self.attn_dropout = heads, hidden_dropout, attn_dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.dense = nn.Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, queries: Tensor, bias: Tensor | None, noise: Noise | None) -> Tensor:
        """Keys and values from ``x`` [B, k, H], queries from ``queries`` [B, q, H] -> [B, q, H]."""
        weight = torch.cat([self.key.weight, self.value.weight])
        key_value = F.linear(x, weight, torch.cat([self.key.bias, self.value.bias]))
        factors = None
        if noise is not None and self.attn_dropout > 0:
            shape = (self.heads, len(x), queries.shape[1], x.shape[1])
            factors = noise.factors(shape, self.attn_dropout, key_value.dtype)
        context: Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
            self.query(queries), key_value, self.heads, bias, factors
        )
        out: Tensor = self.LayerNorm(dropout(self.dense(context), self.hidden_dropout, noise) + queries)
        return out


class FeedForward(nn.Module):
    """Two linear layers with residual and layer norm (after the sum)."""

    def __init__(self, width: int, inner: int, activation: str, hidden_dropout: float, eps: float) -> None:
        super().__init__()
        self.activation, self.hidden_dropout = activation, hidden_dropout
        self.dense_1 = nn.Linear(width, inner)
        self.dense_2 = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, noise: Noise | None) -> Tensor:
        """[..., H] -> [..., H]."""
        first, second = self.dense_1, self.dense_2
        inner: Tensor = _FeedForward.apply(  # type: ignore[no-untyped-call]
            x.reshape(-1, x.shape[-1]), first.weight, first.bias, second.weight, second.bias, self.activation
        )
        out: Tensor = self.LayerNorm(dropout(inner.view_as(x), self.hidden_dropout, noise) + x)
        return out


class TransformerLayer(nn.Module):
    """Attention, then feed-forward."""

    def __init__(self, attention: MultiHeadAttention, feed_forward: FeedForward) -> None:
        super().__init__()
        self.multi_head_attention = attention
        self.feed_forward = feed_forward

    def forward(self, x: Tensor, queries: Tensor, bias: Tensor | None, noise: Noise | None) -> Tensor:
        """Attend from ``queries`` to ``x``."""
        out: Tensor = self.feed_forward(self.multi_head_attention(x, queries, bias, noise), noise)
        return out


class TransformerEncoder(nn.Module):
    """``layers`` copies of one initial layer, as in RecBole."""

    def __init__(self, layer: TransformerLayer, layers: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(copy.deepcopy(layer) for _ in range(layers))

    def forward(self, x: Tensor, bias: Tensor | None, noise: Noise | None) -> Tensor:
        """Every position of the last layer: [B, l, H] -> [B, l, H]; ``bias`` is added to scores [B, l, l]."""
        for layer in self.layer:
            x = layer(x, x, bias, noise)
        return x

    def at_positions(
        self, x: Tensor, positions: Tensor, bias: Tensor | None, last_bias: Tensor | None, noise: Noise | None
    ) -> Tensor:
        """One position per row of the last layer: [B, l, H], positions int64 [B] -> [B, H].

        The last layer needs keys and values everywhere, but its query, projection and feed-forward only at the
        position that is returned. ``last_bias`` [B, 1, l] is the row of the bias that belongs to it.
        """
        for layer in self.layer[:-1]:
            x = layer(x, x, bias, noise)
        queries = x[torch.arange(len(x), device=x.device), positions, None]
        out: Tensor = self.layer[-1](x, queries, last_bias, noise)
        return out[:, 0]
