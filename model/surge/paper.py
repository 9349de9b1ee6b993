"""SURGE as the paper describes it: fusion that knows the candidate, pooling by soft clusters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.surge.attention import Keys, leaky_relu, linear, softmax_over_items
from model.surge.augru import AttentionGRU
from model.surge.graph import Graph, Positions
from model.surge.pooling import assign, filled_clusters, position_band, relative_places
from model.surge.shape import Heads, Readout, Shape

# Logits of a smaller sum than this neither overflow nor vanish in single precision.
_SAFE = 60.0


@dataclass(frozen=True)
class PaperContext:
    """All that needs no candidate; tuples have one entry per head.

    Attributes:
        nodes: X, float [B, L, d].
        cluster: alpha, float [B, L].
        query_keys: of X for the query attention.
        values: X W_a with a column of ones, float [B, L, d + 1].
        band: position term of the assignment, float [B, m, L], or None.
    """

    positions: Positions
    graph: Graph
    nodes: Tensor
    cluster: tuple[Tensor, ...]
    query_keys: tuple[Keys, ...]
    values: tuple[Tensor, ...]
    band: Tensor | None


class Paper(nn.Module):
    """Fusion, extraction and readout of the variant ``paper``.

    The sum of both attention terms passes a leaky ReLU before the softmax, as in graph attention networks;
    without it the cluster's term would cancel.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = Heads(shape, final_bias=True)
        self.assignment = linear(shape.width, shape.pool_length, bias=False)
        self.band = nn.Parameter(torch.empty(shape.longest, shape.pool_length)) if shape.positioned else None
        self.gru = AttentionGRU(shape.width, shape.hidden)

    def reset(self, _: torch.Generator) -> None:
        """The position term starts as a band: early nodes to early clusters."""
        if self.band is not None:
            with torch.no_grad():
                self.band.copy_(position_band(*self.band.shape))

    def context(self, nodes: Tensor, graph: Graph, positions: Positions) -> PaperContext:
        """What the node features [B, L, d] and the graph say before any candidate is known."""
        packed, centers = positions.pack(nodes), positions.pack(graph.two_hops(nodes))
        band = self.band
        return PaperContext(
            positions=positions,
            graph=graph,
            nodes=nodes,
            cluster=tuple(
                positions.unpack(head.cluster.for_pairs(centers, head.cluster.keys(packed)), 0.0) for head in self.heads
            ),
            query_keys=tuple(head.query.keys(packed) for head in self.heads),
            values=tuple(functional.pad(head.aggregate(nodes), (0, 1), value=1.0) for head in self.heads),
            band=None if band is None else band[relative_places(positions, len(band))].transpose(1, 2).contiguous(),
        )

    def read(self, context: PaperContext, queries: Tensor) -> Readout:
        """What the graphs say to candidates [B, C, d] or [1, C, d]."""
        positions = context.positions
        query = [
            head.query.for_candidates(queries, keys, positions)
            for head, keys in zip(self.heads, context.query_keys, strict=True)
        ]
        fused = self._fuse(context, [positions.unpack(logits, 0.0).transpose(1, 2) for logits in query])
        gamma = torch.stack([softmax_over_items(logits, positions) for logits in query]).mean(0).transpose(1, 2)

        shares = assign(self._assignment_logits(context, fused), positions)
        clusters = shares @ fused
        weights = (shares @ gamma[..., None])[..., 0]

        filled = filled_clusters(positions, shares.shape[2])
        rows, candidates = weights.shape[:2]
        valid = None if bool(filled.all()) else filled[:, None, :].expand_as(weights).flatten(0, 1)
        steps = self.gru.project(clusters).flatten(0, 1).unbind(1)
        state = self.gru(steps, weights.flatten(0, 1), valid)
        summary = (gamma[:, :, None, :] @ fused)[:, :, 0]
        return Readout(state.view(rows, candidates, -1), summary, shares)

    def _assignment_logits(self, context: PaperContext, fused: Tensor) -> Tensor:
        """[B, C, m, L]: each node's logits are those of its weighted neighbourhood, plus the position's."""
        own = self.assignment(fused).transpose(2, 3)
        # The weights are symmetric, so they may stand on the right, where all candidates share one product.
        logits: Tensor = (own.flatten(1, 2) @ context.graph.weights).view_as(own)
        return logits if context.band is None else logits + context.band[:, None]

    def _fuse(self, context: PaperContext, query: list[Tensor]) -> Tensor:
        """H, float [B, C, L, d], from the query's logits [B, C, L] of each head."""
        heads = []
        for alpha, beta, values in zip(context.cluster, query, context.values, strict=True):
            weights = _neighbour_weights(alpha, beta, context.graph.edges)
            # The column of ones in the values sums the weights, which saves a pass over [L, L].
            summed = (weights.flatten(1, 2) @ values).view(*beta.shape, -1)
            mean = summed[..., :-1] / summed[..., -1:]
            heads.append(leaky_relu(mean + context.nodes[:, None]))
        return heads[0] if len(heads) == 1 else torch.stack(heads).mean(0)


def _neighbour_weights(alpha: Tensor, beta: Tensor, edges: Tensor) -> Tensor:
    """exp(leaky_relu(alpha_i + beta_j)) where there is an edge, else 0, up to a factor per row.

    Args:
        alpha: float [B, L]. beta: float [B, C, L]. edges: bool [B, L, L].

    Returns:
        float [B, C, L, L].
    """
    if (alpha.detach().abs().amax() + beta.detach().abs().amax()) < _SAFE:
        # exp(max(s, s / 5)) is the larger of two products of one factor per node each: 4 L exponentials, not L * L.
        whole = (alpha.exp()[:, :, None] * edges)[:, None] * beta.exp()[:, :, None, :]
        slope = ((alpha / 5).exp()[:, :, None] * edges)[:, None] * (beta / 5).exp()[:, :, None, :]
        return torch.maximum(whole, slope)
    logits = leaky_relu(alpha[:, None, :, None] + beta[:, :, None, :]).masked_fill(~edges[:, None], -torch.inf)
    return (logits - logits.detach().amax(-1, keepdim=True)).exp()
