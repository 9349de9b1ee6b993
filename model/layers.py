"""The transformer encoder, and the noise that training adds.

Parameter names and shapes are RecBole's. Written for speed where it matters on a CPU: attention and feed-forward layers
bring their own gradients, which keep little and run on what is still in the cache; noise comes from raw random bits;
and the last layer computes one position only when nobody asks for the others.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

aten = torch.ops.aten

_Activation = tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]

# Activation and its gradient, given the gradient of the output and the input.
ACTIVATIONS: dict[str, _Activation] = {
    "gelu": (F.gelu, aten.gelu_backward),  # the exact form with erf, as RecBole's
    "relu": (F.relu, lambda grad, x: aten.threshold_backward(grad, x, 0)),
    "swish": (F.silu, aten.silu_backward),
    "tanh": (torch.tanh, lambda grad, x: aten.tanh_backward(grad, torch.tanh(x))),
    "sigmoid": (torch.sigmoid, lambda grad, x: aten.sigmoid_backward(grad, torch.sigmoid(x))),
}


class Noise:
    """Dropout from one named stream of random bits.

    torch's own dropout on a CPU draws a float per value and takes half of the training time. Here a value is kept
    when an 8-bit random number (16-bit where the probability is no multiple of 1/256) reaches a threshold, so the
    probability is exact to 1/65536 and one 64-bit draw serves up to eight values.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def kept(self, shape: Sequence[int], p: float) -> Tensor:
        """1 with probability 1 - ``p``, else 0; small integers, which are cheap to keep for the backward pass."""
        kind, per_word, levels = (torch.uint8, 8, 256) if _coarse(p) else (torch.int16, 4, 65536)
        count = math.prod(shape)
        words = torch.empty(-(-count // per_word), dtype=torch.int64, device=self._generator.device)
        # random_() without bounds leaves the sign bit at 0; from the lowest value all 64 bits are random.
        words.random_(torch.iinfo(torch.int64).min, None, generator=self._generator)
        bits = words.view(kind)[:count].view(tuple(shape))
        threshold = round(p * levels) + torch.iinfo(kind).min
        # Cutting to two neighbouring integers is several times faster than a comparison.
        return bits.clamp_(threshold - 1, threshold).sub_(threshold - 1)

    def factors(self, shape: Sequence[int], p: float, dtype: torch.dtype) -> Tensor:
        """Factors of ``shape``: 0 with probability ``p``, else 1 / (1 - p)."""
        return self.kept(shape, p).to(dtype).mul_(gain(p))

    def __call__(self, x: Tensor, p: float) -> Tensor:
        """Dropout of ``x`` with probability ``p``."""
        return x if _never(p) else x * self.factors(x.shape, p, x.dtype)


def gain(p: float) -> float:
    """What kept values are multiplied with: the inverse of the probability that :class:`Noise` really has."""
    levels = 256 if _coarse(p) else 65536
    return levels / (levels - round(p * levels))


def _coarse(p: float) -> bool:
    return (p * 256).is_integer()


def _never(p: float) -> bool:
    return round(p * 65536) == 0


def dropout(x: Tensor, p: float, noise: Noise | None) -> Tensor:
    """Dropout with ``noise``, or ``x`` itself when there is none (evaluation)."""
    return x if noise is None else noise(x, p)


def _kept(shape: Sequence[int], p: float, noise: Noise | None) -> tuple[Tensor | None, float]:
    """What dropout keeps and its gain; None and 1 when nothing is dropped."""
    return (None, 1.0) if noise is None or _never(p) else (noise.kept(shape, p), gain(p))


def _times(kept: Tensor | None, x: Tensor) -> Tensor:
    return x if kept is None else kept.to(x.dtype).mul_(x)


@dataclass(frozen=True)
class _Options:
    eps: float
    hidden_dropout: float
    heads: int = 1
    attn_dropout: float = 0.0
    activation: str = ""


class _SelfAttention(torch.autograd.Function):
    """Every position attends to the others: projections, attention, output projection, dropout, residual, norm.

    One step for autograd instead of twenty, which keeps only the projections, the attention weights and what dropout
    kept, as small integers. Dropout's gain and the scale of the scores ride along in matrix products.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, bias: Tensor | None, noise: Noise | None, options: _Options, *weights: Tensor
    ) -> Tensor:
        """x [B, l, H], bias [B or 1, 1 or l, l] -> [B, l, H]; weights of query, key, value, dense, norm."""
        rows, length, width = x.shape
        heads = options.heads
        query, query_bias, key, key_bias, value, value_bias, dense, dense_bias, norm, norm_bias = weights
        scale = 1 / math.sqrt(width // heads)
        joint = torch.cat([query * scale, key, value])
        flat = x.reshape(-1, width)
        projected = torch.addmm(torch.cat([query_bias * scale, key_bias, value_bias]), flat, joint.T)
        split = projected.view(rows, length, 3, heads, -1).permute(2, 3, 0, 1, 4).reshape(3, rows * heads, length, -1)
        scores = torch.bmm(split[0], split[1].mT)
        if bias is not None:
            scores.view(heads, rows, length, length).add_(bias)
        attention = torch.softmax(scores, -1)
        kept, inside = _kept(attention.shape, options.attn_dropout, noise)
        context = torch.bmm(_times(kept, attention), split[2])
        context = context.view(heads, rows, length, -1).permute(1, 2, 0, 3).reshape(-1, width)
        out = torch.addmm(dense_bias, context, dense.T, alpha=inside)
        kept_out, outside = _kept(out.shape, options.hidden_dropout, noise)
        before = torch.add(flat, _times(kept_out, out), alpha=outside)
        out, mean, rstd = torch.native_layer_norm(before, norm.shape, norm, norm_bias, options.eps)
        ctx.heads, ctx.scale, ctx.inside, ctx.outside = heads, scale, inside, outside
        ctx.save_for_backward(
            flat, joint, split, attention, kept, context, dense, kept_out, before, mean, rstd, norm, norm_bias
        )
        return out.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_outs: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x and the weights."""
        flat, joint, split, attention, kept, context, dense, kept_out, before, *normed = ctx.saved_tensors
        (q, k, v), (_, length, size) = split, split[0].shape
        rows, width = len(d_outs[0]), flat.shape[1]
        gains = ctx.inside * ctx.outside
        d_x, d_norm, d_norm_bias = _norm_backward(d_outs[0].reshape(-1, width), before, *normed)
        d_out = _times(kept_out, d_x)
        d_dense, d_dense_bias = (d_out.T @ context).mul_(gains), d_out.sum(0).mul_(ctx.outside)
        d_context = d_out @ (dense * gains)
        d_context = d_context.view(rows, length, ctx.heads, size).permute(2, 0, 1, 3).reshape(-1, length, size)
        d_attention = _times(kept, torch.bmm(d_context, v.mT))
        d_scores = torch._softmax_backward_data(d_attention, attention, -1, attention.dtype)
        d_split = torch.empty_like(split)
        torch.bmm(d_scores, k, out=d_split[0])
        torch.bmm(d_scores.mT, q, out=d_split[1])
        torch.bmm(_times(kept, attention).mT, d_context, out=d_split[2])
        d_projected = d_split.view(3, ctx.heads, rows, length, size).permute(2, 3, 0, 1, 4).reshape(-1, 3 * width)
        d_joint, d_joint_bias = d_projected.T @ flat, d_projected.sum(0)
        d_joint[:width] *= ctx.scale
        d_joint_bias[:width] *= ctx.scale
        d_x = d_x.addmm_(d_projected, joint).view(rows, length, width)
        parts = (part for pair in zip(d_joint.chunk(3), d_joint_bias.chunk(3), strict=True) for part in pair)
        return (d_x, None, None, None, *parts, d_dense, d_dense_bias, d_norm, d_norm_bias)


class _FeedForward(torch.autograd.Function):
    """Linear, activation, linear, dropout, residual, norm.

    Keeps the inner layer from before the activation, which is computed again in the backward pass.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, noise: Noise | None, options: _Options, *weights: Tensor) -> Tensor:
        """x [..., H] -> [..., H]; weights of the two layers and the norm."""
        weight_1, bias_1, weight_2, bias_2, norm, norm_bias = weights
        flat = x.reshape(-1, x.shape[-1])
        inner = torch.addmm(bias_1, flat, weight_1.T)
        out = torch.addmm(bias_2, ACTIVATIONS[options.activation][0](inner), weight_2.T)
        kept, gain = _kept(out.shape, options.hidden_dropout, noise)
        before = torch.add(flat, _times(kept, out), alpha=gain)
        out, mean, rstd = torch.native_layer_norm(before, norm.shape, norm, norm_bias, options.eps)
        ctx.activation, ctx.gain = options.activation, gain
        ctx.save_for_backward(flat, weight_1, inner, weight_2, kept, before, mean, rstd, norm, norm_bias)
        return out.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_outs: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x and the weights."""
        flat, weight_1, inner, weight_2, kept, before, *normed = ctx.saved_tensors
        activation, activation_backward = ACTIVATIONS[ctx.activation]
        d_x, d_norm, d_norm_bias = _norm_backward(d_outs[0].reshape(flat.shape), before, *normed)
        d_out = _times(kept, d_x)
        d_weight_2, d_bias_2 = (d_out.T @ activation(inner)).mul_(ctx.gain), d_out.sum(0).mul_(ctx.gain)
        d_inner = activation_backward(d_out @ (weight_2 * ctx.gain), inner)
        d_weight_1, d_bias_1 = d_inner.T @ flat, d_inner.sum(0)
        d_x = d_x.addmm_(d_inner, weight_1).view_as(d_outs[0])
        return d_x, None, None, d_weight_1, d_bias_1, d_weight_2, d_bias_2, d_norm, d_norm_bias


def _norm_backward(
    d_out: Tensor, x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    grads: tuple[Tensor, Tensor, Tensor] = aten.native_layer_norm_backward(
        d_out, x, weight.shape, mean, rstd, weight, bias, [True, True, True]
    )
    return grads


class _Lookup(torch.autograd.Function):
    """Rows of a matrix on a CPU; the gradient is added to the matrix's own, without a matrix of zeros in between.

    torch makes one for every look-up, which with a large catalogue costs more than the rest of the step.
    """

    @staticmethod
    def forward(ctx: Any, ids: Tensor, weight: nn.Parameter) -> Tensor:
        """ids int64 [...] -> [..., H]."""
        ctx.ids, ctx.weight = ids.reshape(-1), weight
        return weight[ids]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_outs: Tensor) -> tuple[None, None]:
        """Adds to ``weight.grad``; the padding, id 0, gets nothing."""
        ids, weight = ctx.ids, ctx.weight
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        d_out = d_outs[0].reshape(-1, weight.shape[1])
        weight.grad.index_add_(0, ids, d_out * (ids > 0)[:, None].to(d_out.dtype))
        return None, None


def lookup(ids: Tensor, embedding: nn.Embedding) -> Tensor:
    """Rows of an embedding with padding 0, whose gradient must be asked for with ``backward()``."""
    if ids.device.type != "cpu" or not embedding.weight.requires_grad:
        return F.embedding(ids, embedding.weight, padding_idx=0)
    out: Tensor = _Lookup.apply(ids, embedding.weight)  # type: ignore[no-untyped-call]
    return out


class MultiHeadAttention(nn.Module):
    """Attention with output projection, residual and layer norm (after the sum)."""

    def __init__(self, width: int, heads: int, hidden_dropout: float, attn_dropout: float, eps: float) -> None:
        super().__init__()
        self._options = _Options(eps, hidden_dropout, heads=heads, attn_dropout=attn_dropout)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.dense = nn.Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, bias: Tensor | None, noise: Noise | None) -> Tensor:
        """Every position attends to the others: [B, l, H] -> [B, l, H]; ``bias`` [B or 1, 1 or l, l]."""
        out: Tensor = _SelfAttention.apply(  # type: ignore[no-untyped-call]
            x, bias, noise, self._options, *self.parameters()
        )
        return out

    def at_positions(self, x: Tensor, positions: Tensor, bias: Tensor | None, noise: Noise | None) -> Tensor:
        """One position of each row attends to all: [B, l, H], int64 [B] -> [B, H]; ``bias`` [B, 1, l].

        With one query a row the projections can change places: q . (K x) = (K'q) . x, and the weighted sum of V x is
        V of the weighted sum of x. So keys and values are never computed. What the keys' bias adds is the same for
        all keys and drops out of the softmax.
        """
        rows, _, width = x.shape
        options, heads = self._options, self._options.heads
        size = width // heads
        queries = x[torch.arange(rows, device=x.device), positions]
        q = self.query(queries).view(rows, heads, size).transpose(0, 1)
        q = torch.bmm(q, self.key.weight.view(heads, size, width)).transpose(0, 1)
        scores = torch.bmm(q, x.mT) / math.sqrt(size)
        if bias is not None:
            scores = scores + bias
        attention = dropout(torch.softmax(scores, -1), options.attn_dropout, noise)
        pooled = torch.bmm(attention, x).transpose(0, 1)
        context = torch.bmm(pooled, self.value.weight.view(heads, size, width).mT)
        # Dropout leaves weights that do not sum to 1, so the values' bias counts as often as they say.
        context = context + self.value.bias.view(heads, 1, size) * attention.sum(-1).T[..., None]
        dense = self.dense(context.transpose(0, 1).reshape(rows, width))
        # The keys' bias has a gradient of zero, not none.
        queries = queries + 0 * self.key.bias
        out: Tensor = self.LayerNorm(dropout(dense, options.hidden_dropout, noise) + queries)
        return out


class FeedForward(nn.Module):
    """Two linear layers with residual and layer norm (after the sum)."""

    def __init__(self, width: int, inner: int, activation: str, hidden_dropout: float, eps: float) -> None:
        super().__init__()
        self._options = _Options(eps, hidden_dropout, activation=activation)
        self.dense_1 = nn.Linear(width, inner)
        self.dense_2 = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, noise: Noise | None) -> Tensor:
        """[..., H] -> [..., H]."""
        out: Tensor = _FeedForward.apply(x, noise, self._options, *self.parameters())  # type: ignore[no-untyped-call]
        return out


class TransformerLayer(nn.Module):
    """Attention, then feed-forward."""

    def __init__(self, attention: MultiHeadAttention, feed_forward: FeedForward) -> None:
        super().__init__()
        self.multi_head_attention = attention
        self.feed_forward = feed_forward

    def forward(self, x: Tensor, bias: Tensor | None, noise: Noise | None) -> Tensor:
        """Every position attends to the others: [B, l, H] -> [B, l, H]; ``bias`` [B or 1, 1 or l, l]."""
        first, second = self.multi_head_attention, self.feed_forward
        out: Tensor = second(first(x, bias, noise), noise)
        return out

    def at_positions(self, x: Tensor, positions: Tensor, bias: Tensor | None, noise: Noise | None) -> Tensor:
        """One position of each row: [B, l, H] -> [B, H]."""
        out: Tensor = self.feed_forward(self.multi_head_attention.at_positions(x, positions, bias, noise), noise)
        return out


class TransformerEncoder(nn.Module):
    """``layers`` copies of one initial layer, as in RecBole."""

    def __init__(self, layer: TransformerLayer, layers: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(copy.deepcopy(layer) for _ in range(layers))

    def forward(self, x: Tensor, bias: Tensor | None, noise: Noise | None) -> Tensor:
        """Every position of the last layer: [B, l, H] -> [B, l, H].

        ``bias`` [B or 1, 1 or l, l] is added to the scores.
        """
        for layer in self.layer:
            x = layer(x, bias, noise)
        return x

    def at_positions(
        self, x: Tensor, positions: Tensor, bias: Tensor | None, last_bias: Tensor | None, noise: Noise | None
    ) -> Tensor:
        """One position per row of the last layer: [B, l, H], positions int64 [B] -> [B, H].

        ``last_bias`` [B, 1, l] is the row of the bias that belongs to the position.
        """
        *others, last = (cast(TransformerLayer, layer) for layer in self.layer)
        for layer in others:
            x = layer(x, bias, noise)
        return last.at_positions(x, positions, last_bias, noise)
