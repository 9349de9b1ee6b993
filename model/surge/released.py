"""SURGE as its authors' code computes it: pooling keeps the strongest nodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.surge.attention import Keys, leaky_relu, softmax_over_items
from model.surge.augru import AttentionGRU
from model.surge.graph import Graph, Positions, take
from model.surge.pooling import Kept, keep_strongest
from model.surge.shape import Heads, Readout, Shape


@dataclass(frozen=True)
class ReleasedContext:
    """All that needs no candidate.

    Attributes:
        nodes: H, fused node features, float [P, d].
        strength: f1', each head's share of a node among the user's nodes, summed over heads, float [B, L].
        query_keys: of H for each head's query attention.
        update_keys: of H for the attention that damps the AUGRU's update gate.
        inputs: H as the AUGRU takes it, float [P, 3h].
    """

    positions: Positions
    nodes: Tensor
    strength: Tensor
    query_keys: tuple[Keys, ...]
    update_keys: Keys
    inputs: Tensor


class Released(nn.Module):
    """Fusion, extraction and readout of the variant ``released``.

    The query's term in the fusion cancels in the released code (a softmax over nodes of a sum whose query
    part is the same for all of them), so the fused nodes do not depend on the candidate.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        # Outputs of these networks go through a softmax, which a constant does not change: no final bias.
        self.heads = Heads(shape, final_bias=False)
        self.update = shape.attention(final_bias=False)
        self.gru = AttentionGRU(shape.width, shape.hidden)
        self.pool_length = shape.pool_length

    def context(self, nodes: Tensor, graph: Graph, positions: Positions) -> ReleasedContext:
        """What the node features [B, L, d] and the graph say before any candidate is known."""
        fused = torch.stack(
            [
                leaky_relu(head.aggregate(_neighbourhood(share, nodes, graph)) + nodes)
                for head, share in zip(self.heads, self._shares(nodes, graph, positions), strict=True)
            ]
        ).mean(0)
        packed = positions.pack(fused)
        return ReleasedContext(
            positions=positions,
            nodes=packed,
            strength=torch.stack(self._shares(fused, graph, positions)).sum(0),
            query_keys=tuple(head.query.keys(packed) for head in self.heads),
            update_keys=self.update.keys(packed),
            inputs=self.gru.project(packed),
        )

    def read(self, context: ReleasedContext, queries: Tensor) -> Readout:
        """What the graphs say to candidates [B, C, d] or [1, C, d]."""
        positions = context.positions
        total = context.strength[:, :, None]
        for head, keys in zip(self.heads, context.query_keys, strict=True):
            logits = head.query.for_candidates(queries, keys, positions)
            total = total + softmax_over_items(logits, positions)
        score = (total / len(self.heads)).masked_fill(~positions.mask[:, :, None], -torch.inf)
        strength = score.softmax(1).transpose(1, 2)
        kept = keep_strongest(score.transpose(1, 2), positions, self.pool_length)

        gamma = strength.gather(2, kept.places) * kept.valid[:, None, :]
        chosen = positions.start[:, None, None] + kept.places
        attention = self._update_attention(context, queries, kept, chosen)
        dense = torch.zeros_like(strength).scatter_add(2, kept.places, gamma)
        padded = positions.unpack(context.nodes, 0.0)
        rows = chosen.flatten(0, 1)
        valid = None if kept.full else kept.valid[:, None, :].expand_as(kept.places).flatten(0, 1)
        state = self.gru(_steps(context.inputs, rows), attention.flatten(0, 1), valid)
        return Readout(state.view(*gamma.shape[:2], -1), dense @ padded, None)

    def _shares(self, nodes: Tensor, graph: Graph, positions: Positions) -> list[Tensor]:
        """f1: per head, how much each node is one of its neighbourhood, softmax over the user's nodes."""
        centers, packed = positions.pack(graph.two_hops(nodes)), positions.pack(nodes)
        return [
            softmax_over_items(head.cluster.for_pairs(centers, head.cluster.keys(packed)), positions)
            for head in self.heads
        ]

    def _update_attention(self, context: ReleasedContext, queries: Tensor, kept: Kept, chosen: Tensor) -> Tensor:
        """Softmax over the kept nodes of the third attention network, float [B, C, m]."""
        positions = context.positions
        rows, candidates, size = kept.places.shape
        if not self.training and 2 * size > positions.width:
            # Nearly all nodes are kept: one product for all of them, then a choice among the results.
            logits = positions.unpack(self.update.for_candidates(queries, context.update_keys, positions), -torch.inf)
            logits = logits.transpose(1, 2).gather(2, kept.places)
            return logits.masked_fill(~kept.valid[:, None, :], -torch.inf).softmax(-1)
        number = torch.arange(rows * candidates, device=chosen.device).view(rows, candidates, 1)
        valid = kept.valid[:, None, :].expand_as(chosen)
        flat = queries.expand(rows, -1, -1).flatten(0, 1)
        if kept.full:
            pairs = self.update.for_pairs(flat[:, None, :], context.update_keys.at(chosen.flatten(0, 1)))
            return pairs.view(rows, candidates, size).softmax(-1)
        pairs = self.update.for_chosen(flat, context.update_keys, number.expand_as(chosen)[valid], chosen[valid])
        logits = pairs.new_full(chosen.shape, -torch.inf).masked_scatter(valid, pairs)
        return logits.softmax(-1)


def _neighbourhood(share: Tensor, nodes: Tensor, graph: Graph) -> Tensor:
    """E X: each node's mean over its neighbours, weighted by a softmax of their shares (at most 1 each)."""
    adjacency = graph.edges.to(nodes.dtype)
    weight = share.exp()[:, :, None]
    return (adjacency @ (weight * nodes)) / (adjacency @ weight)


def _steps(inputs: Tensor, rows: Tensor) -> Iterable[Tensor]:
    """The inputs [P, 3h] of each step of the rows [R, m]."""
    if torch.is_grad_enabled():
        # One gather for all steps, because its backward adds into all of P once.
        return take(inputs, rows).unbind(1)
    return (take(inputs, step) for step in rows.unbind(1))
