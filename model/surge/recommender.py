"""SURGE behind the interface that evaluation knows: scores of histories, in bounded memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from model.config import Config
from model.data import Attributes, SequentialDataset
from model.randomness import torch_generator
from model.recommender import Recommender
from model.surge.network import ItemEmbedding, SurgeNetwork
from model.surge.parameters import review
from model.surge.shape import Shape

# Sequences ranked at once: more of them gain nothing.
_MOST_SEQUENCES = 32


class Surge(Recommender):
    """Ranks with a :class:`SurgeNetwork`.

    Args:
        item_num: number of item ids, padding included.
        memory: bytes of intermediate results, or None for a default by device.
    """

    def __init__(self, network: SurgeNetwork, item_num: int, memory: int | None = None) -> None:
        super().__init__()
        self.network = network
        self.item_num = item_num
        self.memory = memory

    def score_all(self, histories: Tensor, lengths: Tensor) -> Tensor:
        """Scores [B, item_num] of every item; -inf for the padding."""
        items = torch.arange(self.item_num, device=histories.device)[None]
        scores = torch.empty(len(histories), self.item_num, device=histories.device)
        for sequences in self._groups(len(histories), self.item_num):
            context = self.network.context(histories[sequences], lengths[sequences])
            for chunk in self._chunks(self.item_num, sequences.stop - sequences.start):
                scores[sequences, chunk] = self.network.score(context, items[:, chunk])
        scores[:, 0] = -torch.inf
        return scores

    def score(self, histories: Tensor, lengths: Tensor, candidates: Tensor) -> Tensor:
        """Scores of ``candidates`` int64 [B, C] -> float [B, C]."""
        scores = torch.empty(candidates.shape, device=histories.device)
        for sequences in self._groups(len(histories), candidates.shape[1]):
            context = self.network.context(histories[sequences], lengths[sequences])
            for chunk in self._chunks(candidates.shape[1], sequences.stop - sequences.start):
                scores[sequences, chunk] = self.network.score(context, candidates[sequences, chunk])
        return scores

    def pair_bytes(self) -> int:
        """What one pair of history and candidate keeps in flight, roughly and rounded up."""
        shape = self.network.shape
        longest, width = shape.longest, shape.width
        attention = sum(shape.attention_sizes[:2]) * longest * 4
        state = shape.pool_length * (width + 3 * shape.hidden) * 4
        if self.network.variant_name == "released":
            return attention + 8 * longest * 4 + shape.pool_length * shape.hidden * 4
        pairs = 3 * longest * longest * 4
        return attention + pairs + 2 * longest * (width + shape.pool_length) * 4 + state

    def _groups(self, sequences: int, candidates: int) -> list[slice]:
        together = self._budget() // (self.pair_bytes() * min(candidates, 4096))
        return _slices(sequences, max(1, min(together, _MOST_SEQUENCES)))

    def _chunks(self, candidates: int, sequences: int) -> list[slice]:
        most = max(64, min(4096, self._budget() // (self.pair_bytes() * sequences)))
        # Chunks of one size: a small rest would be computed at a worse rate.
        return _slices(candidates, math.ceil(candidates / math.ceil(candidates / most)))

    def _budget(self) -> int:
        if self.memory is not None:
            return self.memory
        return (4096 if next(self.parameters()).device.type == "cuda" else 48) << 20


def _slices(total: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def build(config: Config, dataset: SequentialDataset) -> Surge:
    """A freshly initialised model, a function of ``config["seed"]`` and the sizes alone.

    Raises:
        ConfigError: values that do not fit each other.
    """
    review(config)
    attributes = dataset.item_attributes(config["item_attribute"]) if config["item_attribute"] else None
    width = config["embedding_size"]
    embedding = ItemEmbedding(
        dataset.item_num,
        width,
        None if attributes is None else _table(attributes),
        0 if attributes is None else attributes.num,
        config["attribute_embedding_size"],
    )
    if attributes is not None:
        width += config["attribute_embedding_size"]
    network = SurgeNetwork(config["surge_variant"], embedding, _shape(config, width), config["dropout_prob"])
    network.reset(torch_generator(config["seed"], "SURGE", "initial values"))
    memory = config["score_memory"]
    return Surge(network, dataset.item_num, None if memory is None else memory << 20)


def _shape(config: Config, width: int) -> Shape:
    return Shape(
        width=width,
        hidden=config["hidden_size"] or config["embedding_size"],
        heads=config["attention_heads"],
        metric_heads=config["metric_heads"],
        threshold=config["relative_threshold"],
        metric_trained=config["metric_grad"] == "ste",
        pool_length=config["pool_length"],
        longest=config["MAX_ITEM_LIST_LENGTH"],
        attention_sizes=tuple(config["att_fcn_layer_sizes"]),
        activation=config["att_activation"],
        prediction_sizes=tuple(config["layer_sizes"]),
        normalized=config["batch_norm"] == "masked",
        positioned=config["assign_position"],
        constant=config["loss_type"] == "bce",
    )


def _table(attributes: Attributes) -> Tensor:
    """The ragged attributes as int64 [item_num, most], filled with 0."""
    counts = attributes.offsets.diff()
    table = torch.zeros(len(counts), max(int(counts.max()), 1), dtype=torch.int64)
    table[torch.arange(table.shape[1]) < counts[:, None]] = attributes.values
    return table
