"""SURGE: Sequential Recommendation with Graph Neural Networks (Chang et al., SIGIR 2021).

A history becomes a graph of items, the graph a short sequence of fused interests, the sequence a score for
each candidate. One code path serves training, sampled and full ranking: :meth:`SurgeNetwork.context` computes
what needs no candidate, :meth:`SurgeNetwork.score` the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.layers import Noise, dropout
from model.surge.attention import Norm, Perceptron
from model.surge.augru import AttentionGRU
from model.surge.graph import Graph, InterestGraph, Positions
from model.surge.paper import Paper, PaperContext
from model.surge.released import Released, ReleasedContext
from model.surge.shape import Readout, Shape


class ItemEmbedding(nn.Module):
    """Features of items: their own embedding, and the mean of their attributes' where there are any.

    Args:
        items: number of ids, padding included.
        width: of the items' own embedding.
        attributes: attribute ids of each item, int64 [items, most], 0 where there are fewer; or None.
        attribute_num: number of attribute ids, padding included.
        attribute_width: of the attributes' embedding.
    """

    attributes: Tensor | None

    def __init__(
        self, items: int, width: int, attributes: Tensor | None, attribute_num: int, attribute_width: int
    ) -> None:
        super().__init__()
        self.items = nn.Embedding(items, width, padding_idx=0, _weight=torch.zeros(items, width))
        self.attribute_embedding = None
        if attributes is not None:
            start = torch.zeros(attribute_num, attribute_width)
            self.attribute_embedding = nn.Embedding(attribute_num, attribute_width, padding_idx=0, _weight=start)
        # The data set knows the attributes; a checkpoint need not.
        self.register_buffer("attributes", attributes, persistent=False)

    def reset(self, generator: torch.Generator) -> None:
        """Small random rows; the padding's stay 0."""
        for table in filter(None, (self.items, self.attribute_embedding)):
            nn.init.normal_(table.weight, 0.0, 0.02, generator=generator)
            with torch.no_grad():
                table.weight[0] = 0

    def forward(self, items: Tensor) -> Tensor:
        """int64 [...] -> float [..., d]."""
        own: Tensor = self.items(items)
        if self.attributes is None or self.attribute_embedding is None:
            return own
        ids = self.attributes[items]
        count = (ids > 0).sum(-1, keepdim=True).clamp(min=1)
        return torch.cat([own, self.attribute_embedding(ids).sum(-2) / count], dim=-1)

    def involved(self, items: Tensor) -> list[Tensor]:
        """The rows that the batch's ``items`` touch, each once, padding excepted: what embed_l2 weighs."""
        ids = items.unique()  # type: ignore[no-untyped-call]
        rows = [self.items.weight[ids[ids > 0]]]
        if self.attributes is not None and self.attribute_embedding is not None:
            attributes = self.attributes[ids].unique()  # type: ignore[no-untyped-call]
            rows.append(self.attribute_embedding.weight[attributes[attributes > 0]])
        return rows


@dataclass(frozen=True)
class Context:
    """What histories say before any candidate is known."""

    positions: Positions
    nodes: Tensor
    graph: Graph
    interests: ReleasedContext | PaperContext


@dataclass(frozen=True)
class Scored:
    """Scores [B, C], and the soft assignment [B, C, m, L] behind them where the variant has one."""

    scores: Tensor
    shares: Tensor | None


class SurgeNetwork(nn.Module):
    """The network of either variant.

    Args:
        embedding: features of items, of width ``shape.width``.
        dropout: share of features that training drops, from histories and candidates.
    """

    def __init__(self, variant: str, embedding: ItemEmbedding, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.variant_name = variant
        self.shape = shape
        self.dropout = dropout
        self.embedding = embedding
        self.graph = InterestGraph(shape.width, shape.metric_heads, shape.threshold, trained=shape.metric_trained)
        self.variant: Released | Paper = Released(shape) if variant == "released" else Paper(shape)
        self.prediction = Perceptron(
            shape.hidden + 3 * shape.width,
            shape.prediction_sizes,
            "relu",
            normalized=shape.normalized,
            final_bias=shape.constant,
        )

    def reset(self, generator: torch.Generator) -> None:
        """Draw all parameters, in the order of the modules."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, AttentionGRU | InterestGraph | ItemEmbedding | Paper):
                module.reset(generator)
            elif isinstance(module, Norm):
                module.reset_parameters()

    def context(self, item_seq: Tensor, lengths: Tensor, noise: Noise | None = None) -> Context:
        """Graph and fused interests of histories.

        Args:
            item_seq: int64 [B, L], oldest first, right padded; what lies beyond the length is ignored.
            lengths: int64 [B], at least 1.
            noise: source of dropout in training; without it there is none.
        """
        longest = int(lengths.max())
        positions = Positions(lengths, longest)
        # Padding becomes item 0, whose features are 0: whatever stood there has no influence.
        nodes = self.embedding(item_seq[:, :longest].masked_fill(~positions.mask, 0))
        nodes = self._drop(nodes, noise)
        graph = self.graph(nodes, positions)
        return Context(positions, nodes, graph, self.variant.context(nodes, graph, positions))

    def score(self, context: Context, items: Tensor, noise: Noise | None = None) -> Tensor:
        """Logits of candidates: int64 [B, C], or [1, C] for all histories alike, -> float [B, C]."""
        return self.scored(context, items, noise).scores

    def scored(self, context: Context, items: Tensor, noise: Noise | None = None) -> Scored:
        """Like :meth:`score`, with what the regularisers need."""
        queries = self._drop(self.embedding(items), noise)
        readout = self.readout(context, queries)
        queries = queries.expand_as(readout.summary)
        features = torch.cat([readout.state, readout.summary, queries, readout.summary * queries], dim=-1)
        return Scored(self.prediction(features), readout.shares)

    def readout(self, context: Context, queries: Tensor) -> Readout:
        """What the histories say to candidates' features [B, C, d] or [1, C, d]."""
        return self.variant.read(context.interests, queries)  # type: ignore[arg-type]

    def _drop(self, values: Tensor, noise: Noise | None) -> Tensor:
        return dropout(values, self.dropout, noise if self.training else None)
