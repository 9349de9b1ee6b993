"""The sizes that all parts of SURGE agree on, and what a variant hands to the prediction layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from model.surge.attention import AttentionNetwork, linear


@dataclass(frozen=True)
class Shape:
    """Sizes and choices that shape the network.

    Attributes:
        width: d, features of a node: the item's embedding and its attributes'.
        hidden: h, width of the AUGRU's state.
        heads: attention heads, averaged.
        metric_heads: heads of the similarity.
        threshold: share of node pairs that become edges.
        metric_trained: whether the similarity's weights learn.
        pool_length: m, nodes or clusters left after pooling.
        longest: L, the longest history.
        attention_sizes: hidden layers of the attention networks.
        activation: of the attention networks.
        prediction_sizes: hidden layers of the prediction network.
        normalized: whether hidden layers are batch-normalised.
        positioned: whether soft assignment knows positions (variant ``paper``).
        constant: whether the output has a bias (without effect on rankings and on the softmax loss).
    """

    width: int
    hidden: int
    heads: int
    metric_heads: int
    threshold: float
    metric_trained: bool
    pool_length: int
    longest: int
    attention_sizes: tuple[int, ...]
    activation: str
    prediction_sizes: tuple[int, ...]
    normalized: bool
    positioned: bool
    constant: bool

    def attention(self, *, final_bias: bool) -> AttentionNetwork:
        """An attention network of this shape."""
        return AttentionNetwork(
            self.width,
            self.attention_sizes,
            self.activation,
            normalized=self.normalized,
            final_bias=final_bias,
        )


class Head(nn.Module):
    """One attention head: its two attention networks and its map of neighbours' features."""

    def __init__(self, shape: Shape, *, final_bias: bool) -> None:
        super().__init__()
        self.cluster = shape.attention(final_bias=final_bias)
        self.query = shape.attention(final_bias=final_bias)
        self.aggregate = linear(shape.width, shape.width, bias=False)


class Heads(nn.ModuleList):
    """The attention heads of a shape; iterating gives :class:`Head`."""

    def __init__(self, shape: Shape, *, final_bias: bool) -> None:
        super().__init__(Head(shape, final_bias=final_bias) for _ in range(shape.heads))

    def __iter__(self) -> Iterator[Head]:
        return cast("Iterator[Head]", super().__iter__())


@dataclass(frozen=True)
class Readout:
    """What a history says to each candidate.

    Attributes:
        state: h_s, last state of the AUGRU, float [B, C, h].
        summary: h_g, weighted sum of the nodes, float [B, C, d].
        shares: soft assignment, S transposed, float [B, C, m, L], or None where pooling is hard.
    """

    state: Tensor
    summary: Tensor
    shares: Tensor | None
