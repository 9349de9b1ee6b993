"""The interest graph of a user: items as nodes, edges where a learned similarity ranks high.

Step one of SURGE (Chang et al., SIGIR 2021, section 3.1). Nothing here knows the candidate that is scored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

# Similarities closer than this are equal but for rounding. Processors round the rows of one product differently, so
# that even an item met twice need not be as similar to others both times, to the last bit.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Positions:
    """Which places of a right-padded batch hold items.

    Attributes:
        lengths: int64 [B].
        width: L, the padded length.
    """

    lengths: Tensor
    width: int

    @cached_property
    def mask(self) -> Tensor:
        """bool [B, L], True where there is an item."""
        places = torch.arange(self.width, device=self.lengths.device)
        return places < self.lengths[:, None]

    @cached_property
    def _flat(self) -> Tensor:
        """int64 [P]: index of each item among the B * L places."""
        return self.mask.flatten().nonzero()[:, 0]

    @cached_property
    def sequence(self) -> Tensor:
        """int64 [P]: the sequence of each of the P items, in order."""
        return self._flat // self.width

    @cached_property
    def start(self) -> Tensor:
        """int64 [B]: index of each sequence's first item among the P packed ones."""
        return self.lengths.cumsum(0) - self.lengths

    def pack(self, values: Tensor) -> Tensor:
        """[B, L, ...] -> [P, ...]: the items only."""
        return take(values.flatten(0, 1), self._flat)

    def unpack(self, values: Tensor, fill: float) -> Tensor:
        """[P, ...] -> [B, L, ...] with ``fill`` in the padding."""
        shape = (len(self.lengths), self.width)
        padded = values.new_full((shape[0] * shape[1], *values.shape[1:]), fill)
        return padded.index_copy(0, self._flat, values).view(*shape, *values.shape[1:])


def take(values: Tensor, index: Tensor) -> Tensor:
    """``values[index]`` for an int64 ``index`` of any shape, with a gradient that is the same in every run."""
    if values.is_cuda:
        return values[index]
    # Several times as fast; on a GPU its gradient would be summed in no fixed order.
    return values.index_select(0, index.flatten()).view(*index.shape, *values.shape[1:])


@dataclass(frozen=True)
class Graph:
    """The interest graphs of a batch.

    Attributes:
        similarity: M, float [B, L, L], symmetric, in [-1, 1].
        edges: A, bool [B, L, L], symmetric, with all self-loops (also at padding, so no degree is 0).
        weights: float [B, L, L], A divided by sqrt(degree_i * degree_j); carries the metric's gradient.
    """

    similarity: Tensor
    edges: Tensor
    weights: Tensor

    def two_hops(self, nodes: Tensor) -> Tensor:
        """[B, L, d] -> [B, L, d]: each node's mean over its neighbourhood's neighbourhoods."""
        return self.weights @ (self.weights @ nodes)


class InterestGraph(nn.Module):
    """Builds :class:`Graph` from node features by multi-head weighted cosine similarity.

    Args:
        width: d, the number of node features.
        heads: number of metric heads.
        threshold: the share of all node pairs that become edges, in (0, 1].
        trained: whether the metric's weights learn, by a straight-through gradient. When not they are a
            constant, and the similarity is the plain cosine.
    """

    metric: Tensor

    def __init__(self, width: int, heads: int, threshold: float, *, trained: bool) -> None:
        super().__init__()
        self.threshold = threshold
        self.trained = trained
        if trained:
            self.metric = nn.Parameter(torch.empty(heads, width))
        else:
            self.register_buffer("metric", torch.ones(heads, width))

    def reset(self, generator: torch.Generator) -> None:
        """Start near the plain cosine; the heads must differ to learn different things."""
        if self.trained:
            nn.init.normal_(self.metric, 1.0, 0.1, generator=generator)

    def forward(self, nodes: Tensor, positions: Positions) -> Graph:
        """The graphs of node features [B, L, d]."""
        similarity = self.similarity(nodes)
        edges = self.edges(similarity.detach(), positions)
        adjacency = edges.to(nodes.dtype)
        degree = adjacency.sum(-1)
        if self.trained:
            # Straight through, where there is an edge: what a pair without one would change is not in the forward
            # pass, and its gradient only blurs the similarity.
            adjacency = adjacency + (similarity - similarity.detach()) * (edges & ~_diagonal(edges))
        scale = degree.rsqrt()
        return Graph(similarity, edges, adjacency * scale[:, :, None] * scale[:, None, :])

    def similarity(self, nodes: Tensor) -> Tensor:
        """M of equation 2: the mean over heads of the cosine of weighted features."""
        weighted: Tensor = functional.normalize(nodes[:, :, None, :] * self.metric, dim=-1, eps=1e-6)
        flat = weighted.flatten(2) / math.sqrt(len(self.metric))
        product = flat @ flat.transpose(1, 2)
        # The two triangles of a matrix product need not round alike, and rounding may leave [-1, 1].
        return ((product + product.transpose(1, 2)) / 2).clamp(-1, 1)

    def edges(self, similarity: Tensor, positions: Positions) -> Tensor:
        """The relative threshold of equation 3: the ceil(threshold * n * n) highest of the n * n pairs.

        Self-loops rank first and are always there. Ties at the threshold, up to rounding, are all edges.
        """
        lengths = positions.lengths
        wanted = torch.ceil(self.threshold * lengths.double() ** 2 - 1e-9).long().clamp(min=1)
        pairs = positions.mask[:, :, None] & positions.mask[:, None, :]
        ranked = similarity.masked_fill(~pairs, -2.0)
        # The matrix is symmetric, so sorting one triangle finds the threshold with half the work.
        row, column = torch.triu_indices(positions.width, positions.width, 1, device=similarity.device)
        triangle = ranked[:, row, column].sort(dim=-1, descending=True).values
        rank = (wanted - lengths + 1) // 2 - 1
        if triangle.shape[1]:
            least = triangle.gather(1, rank.clamp(min=0)[:, None])[:, 0]
            threshold = torch.where(rank >= 0, least, 1.0)
        else:
            threshold = torch.ones_like(rank, dtype=similarity.dtype)
        return ((ranked >= threshold[:, None, None] - _ROUNDING) & pairs) | _diagonal(pairs)


def _diagonal(like: Tensor) -> Tensor:
    return torch.eye(like.shape[-1], dtype=torch.bool, device=like.device)
