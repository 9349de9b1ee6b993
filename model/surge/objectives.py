"""SURGE's loss: the next item against sampled negatives, with its penalties."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from model.config import Config
from model.data import SequentialDataset
from model.layers import Noise
from model.negatives import NegativeSampler
from model.randomness import torch_generator
from model.recommender import Objective, Recommender
from model.surge.network import Context, Scored
from model.surge.pooling import regularize
from model.surge.recommender import Surge


class TrainObjective(Objective):
    """The loss of SURGE's only stage.

    With the logits y of the target (first) and K negatives: ``-log softmax(y)[0]``, or their binary cross
    entropy; plus the penalties of soft pooling, and L2 of the embedding rows in the batch and of the layers'
    weights. L2 is a term of the loss and not the optimizer's weight decay, which would shrink rows that the batch
    does not touch.
    """

    reduction = "mean"

    def __init__(self, model: Recommender, dataset: SequentialDataset, config: Config) -> None:
        assert isinstance(model, Surge)
        self.network = model.network
        self.config = config
        self.device = next(model.parameters()).device
        self.samples = dataset.train.to(self.device)
        self.negatives = NegativeSampler(dataset, config["train_neg_sample_args"], self.device)
        position = config["relative_position_weight"]
        if position is None:
            position = 1e-5 if config["position_reg"] == "literal" else 1e-3
        self.position_weight: float = position
        embedding = self.network.embedding
        apart = {id(parameter) for parameter in embedding.parameters()} | {id(self.network.graph.metric)}
        self.layers = [p for p in self.network.parameters() if id(p) not in apart]

    def begin_epoch(self, epoch: int) -> None:
        """Named streams: negatives and dropout of this epoch."""
        seed = self.config["seed"]
        self.draws = torch_generator(seed, "train", epoch, "negatives", device=self.device)
        self.noise = Noise(torch_generator(seed, "train", epoch, "dropout", device=self.device))

    def backward(self, rows: Tensor) -> Tensor:
        """Gradients of the mean loss over a batch, in micro-batches."""
        rows = rows.to(self.device)
        targets = self.samples.target[rows]
        items = torch.cat([targets[:, None], self.negatives(targets, self.draws)], dim=1)
        offset = self.negatives.log_share(items)
        lengths = self.samples.lengths(rows)
        histories = self.samples.padded(rows, int(lengths.max()))
        pooled = (lengths > self.network.shape.pool_length).sum().clamp(min=1)
        total = torch.zeros((), device=self.device)
        size = self.config["micro_batch_size"]
        for start in range(0, len(rows), size):
            self.check()
            part = slice(start, start + size)
            context = self.network.context(histories[part], lengths[part], self.noise)
            scored = self.network.scored(context, items[part], self.noise)
            logits = scored.scores if offset is None else scored.scores - offset[part]
            loss = self._ranking(logits).sum() / len(rows) + self._pooling(context, scored) / pooled
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        penalty = self._l2(torch.cat([histories.flatten(), items.flatten()]))
        penalty.backward()  # type: ignore[no-untyped-call]
        return total + penalty.detach()

    def _ranking(self, logits: Tensor) -> Tensor:
        """[B, 1 + K] -> [B]."""
        if self.config["loss_type"] == "softmax":
            return -logits.log_softmax(1)[:, 0]
        wanted = torch.zeros_like(logits)
        wanted[:, 0] = 1
        return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(1)

    def _pooling(self, context: Context, scored: Scored) -> Tensor:
        """Weighted penalties of soft pooling, summed over sequences, for the target only."""
        if scored.shares is None:
            return scored.scores.new_zeros(())
        penalties = regularize(scored.shares[:, 0], context.graph, context.positions, self.config["position_reg"])
        total: Tensor = (
            self.config["same_mapping_weight"] * penalties.same_mapping
            + self.config["single_affiliation_weight"] * penalties.single_affiliation
            + self.position_weight * penalties.relative_position
        )
        return total

    def _l2(self, items: Tensor) -> Tensor:
        """Half the weighted squares of the rows that ``items`` touch and of the layers' weights."""
        rows = torch.cat([rows.flatten() for rows in self.network.embedding.involved(items)])
        layers = torch.cat([weight.flatten() for weight in self.layers])
        embed_l2: float = self.config["embed_l2"]
        layer_l2: float = self.config["layer_l2"]
        return rows.square().sum() * (embed_l2 / 2) + layers.square().sum() * (layer_l2 / 2)
