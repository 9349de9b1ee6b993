"""What S3Rec's two stages minimise.

An optimizer step sees the whole batch, as in RecBole. Inside it the batch is cut into micro-batches that fit the
processor's cache, sorted by length so that hardly any padding is computed. The losses are sums over samples (finetuning
divides by the batch size), so the gradients are those of the whole batch up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from model.lanes import Lanes
from model.layers import Noise, lookup
from model.negatives import NegativeSampler
from model.randomness import torch_generator
from model.recommender import Objective, Recommender, Reduction
from model.s3rec.corruption import PretrainBatch, corrupt, left_padded
from model.s3rec.network import S3Rec

if TYPE_CHECKING:
    from model.config import Config
    from model.data import SequentialDataset
    from model.data.sequences import Samples

# Tokens of one micro-batch: measured best with 2 MB of second-level cache per core. A GPU takes the batch whole.
PRETRAIN_TOKENS = 1200
FINETUNE_TOKENS = 2400


@dataclass(frozen=True)
class PretrainLosses:
    """The four terms, unweighted, each a sum over the micro-batch."""

    aap: Tensor
    mip: Tensor
    map: Tensor
    sp: Tensor

    def total(self, config: Config) -> Tensor:
        """The weighted sum that pretraining minimises."""
        terms = {"aap_weight": self.aap, "mip_weight": self.mip, "map_weight": self.map, "sp_weight": self.sp}
        return torch.stack([config[weight] * term for weight, term in terms.items()]).sum()


def pretrain_losses(
    model: S3Rec,
    batch: PretrainBatch,
    features: Tensor,
    noise: Noise | None,
    *,
    double_sigmoid: bool = True,
    single_segments: bool = True,
) -> PretrainLosses:
    """The four losses of S3Rec's pretraining; the last two arguments are the options of these names.

    Args:
        batch: left padded, possibly cut to its last columns.
        features: multi-hot attributes by item id, float [item_num + 1, F].
    """
    inputs = batch.masked_item_sequence
    masked = _Positions(inputs == model.mask_token)
    visible = _Positions((inputs != 0) & (inputs != model.mask_token))
    hidden = model.encode_pretraining(inputs, noise, last_only=False)
    at_masked, items = masked.of(hidden), masked.of(batch.pos_items)
    seen = features[visible.of(batch.pos_items)]
    segments = _segment_losses(model, batch, noise, double_sigmoid)
    if not single_segments:
        segments = segments * ((batch.pos_items > 0).sum(1) > 1)
    return PretrainLosses(
        aap=visible.total(_attribute_losses(model, model.aap_norm(visible.of(hidden)), seen)),
        mip=masked.total(_item_losses(model, at_masked, items, masked.of(batch.neg_items), double_sigmoid)),
        map=masked.total(_attribute_losses(model, model.map_norm(at_masked), features[items])),
        sp=segments.sum(),
    )


class _Positions:
    """The positions of a batch at which a loss counts.

    On a CPU the loss is computed there only. How many there are is not known without asking, so on a GPU, which would
    have to be waited for, it is computed everywhere and the rest is multiplied by zero.
    """

    def __init__(self, where: Tensor) -> None:
        flat = where.flatten()
        self._index = None if flat.is_cuda else flat.nonzero()[:, 0]
        self._counts = flat

    def of(self, values: Tensor) -> Tensor:
        """[B, l, ...] -> [n, ...]."""
        flat = values.flatten(0, 1)
        return flat if self._index is None else flat.index_select(0, self._index)

    def total(self, losses: Tensor) -> Tensor:
        """[n] -> the sum over the positions."""
        return losses.sum() if self._index is not None else (losses * self._counts).sum()


def _attribute_losses(model: S3Rec, projected: Tensor, wanted: Tensor) -> Tensor:
    logits = projected @ model.feature_embedding.weight.T
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(-1)


def _item_losses(model: S3Rec, hidden: Tensor, positive: Tensor, negative: Tensor, double_sigmoid: bool) -> Tensor:
    projected, items = model.mip_norm(hidden), model.item_embedding
    right, wrong = ((projected * lookup(ids, items)).sum(-1) for ids in (positive, negative))
    return _preference(right, wrong, double_sigmoid)


def _segment_losses(model: S3Rec, batch: PretrainBatch, noise: Noise | None, double_sigmoid: bool) -> Tensor:
    sequences = torch.cat([batch.masked_segment_sequence, batch.pos_segment, batch.neg_segment])
    context, positive, negative = model.encode_pretraining(sequences, noise, last_only=True).chunk(3)
    context = model.sp_norm(context)
    return _preference((context * positive).sum(-1), (context * negative).sum(-1), double_sigmoid)


def _preference(positive: Tensor, negative: Tensor, double_sigmoid: bool) -> Tensor:
    """-log sigmoid of the difference of scores, or as RecBole has it of their sigmoids."""
    if double_sigmoid:
        positive, negative = torch.sigmoid(positive), torch.sigmoid(negative)
    return -F.logsigmoid(positive - negative)


class _S3RecObjective(Objective):
    stage: str
    tokens: int  # of a micro-batch on a CPU

    def __init__(self, model: Recommender, dataset: SequentialDataset, config: Config) -> None:
        self.model = cast(S3Rec, model)
        self.config = config
        self.device = self.model.item_embedding.weight.device
        self.samples = dataset.train.to(self.device)
        self._lanes = Lanes(self.model)
        self._draws = torch.Generator()
        self._epoch = self._batch = 0

    def begin_epoch(self, epoch: int) -> None:
        """See :meth:`Objective.begin_epoch`."""
        self._epoch, self._batch = epoch, 0
        self._draws = self._generator("samples")

    def _generator(self, *purpose: str | int) -> torch.Generator:
        return torch_generator(self.config["seed"], self.stage, self._epoch, *purpose, device=self.device)

    def _backward(self, lengths: Tensor, loss_of: Callable[[S3Rec, slice, int, Noise], Tensor]) -> Tensor:
        """Sum of losses over micro-batches of a batch sorted by falling length.

        ``loss_of`` gets a model, the micro-batch's rows, their longest length and the dropout to use.
        """
        parts = list(self._micro_batches(lengths))
        batch, self._batch = self._batch, self._batch + 1

        def loss_of_part(model: S3Rec, part: int) -> Tensor:
            self.check()
            # A stream of its own for every part: threads can't get in each other's way.
            return loss_of(model, *parts[part], Noise(self._generator("dropout", batch, part)))

        return self._lanes.backward(loss_of_part, len(parts))

    def _micro_batches(self, lengths: Tensor) -> Iterator[tuple[slice, int]]:
        if self.device.type != "cpu":
            yield slice(0, len(lengths)), self.model.max_length
            return
        row = 0
        while row < len(lengths):
            longest = int(lengths[row])
            rows = max(1, self.tokens // longest)
            yield slice(row, row + rows), longest
            row += rows


class PretrainObjective(_S3RecObjective):
    """Masked items, attributes and segments."""

    stage = "pretrain"
    tokens = PRETRAIN_TOKENS

    def __init__(self, model: Recommender, dataset: SequentialDataset, config: Config) -> None:
        super().__init__(model, dataset, config)
        missing_sets_last = config["missing_attribute"] == "last"
        features = dataset.item_attributes(config["item_attribute"], missing_sets_last=missing_sets_last).multi_hot()
        # The mask token has a row too (it can be drawn into a segment's pool only as an item, never as one).
        self.features = F.pad(features, (0, 0, 0, 1)).to(self.device)
        every = config["pretrain_samples"] == "prefixes"
        self._windows = None if every else windows(self.samples, self.model.max_length)

    @property
    def reduction(self) -> Reduction:
        """See :meth:`Objective.reduction`; a sum as in RecBole, unless ``pretrain_reduction`` says mean."""
        return "mean" if self.config["pretrain_reduction"] == "mean" else "sum"

    def arrange(self, order: Tensor) -> Tensor:
        """See :meth:`Objective.arrange`; with ``pretrain_samples: windows`` every event is in one sample."""
        return order if self._windows is None else order[self._windows[order]]

    def backward(self, rows: Tensor) -> Tensor:
        """See :meth:`Objective.backward`."""
        rows = _by_length(rows, self.samples.length)
        lengths = self.samples.length[rows]
        histories = left_padded(self.samples, rows, self.model.max_length)
        config, mask = self.config, self.model.mask_token
        highest_negative = mask if config["mask_token_negative"] else mask - 1
        own = config["segment_pool"] == "batch"
        batch = corrupt(histories, lengths, mask, config["mask_ratio"], self._draws, highest_negative, own_segments=own)
        samples = len(rows) if self.reduction == "mean" else 1

        def loss_of(model: S3Rec, part: slice, longest: int, noise: Noise) -> Tensor:
            losses = pretrain_losses(
                model,
                batch.part(part, longest),
                self.features,
                noise,
                double_sigmoid=config["double_sigmoid"],
                single_segments=config["single_item_segments"],
            )
            return losses.total(config) / samples

        return self._backward(lengths, loss_of)


class FinetuneObjective(_S3RecObjective):
    """The next item: cross entropy over all items, or BPR against sampled ones."""

    stage = "finetune"
    tokens = FINETUNE_TOKENS
    reduction = "mean"

    def __init__(self, model: Recommender, dataset: SequentialDataset, config: Config) -> None:
        super().__init__(model, dataset, config)
        self._negatives = None
        if config["loss_type"] == "BPR":
            self._negatives = NegativeSampler(dataset, config["train_neg_sample_args"], self.device)

    def arrange(self, order: Tensor) -> Tensor:
        """See :meth:`Objective.arrange`; with ``share_prefixes`` prefixes of one history follow each other."""
        if not self.config["share_prefixes"]:
            return order
        _, history = torch.unique(self.samples.start[order], return_inverse=True)
        # A history's place is that of one of its samples. The first place of any would put long histories first.
        oldest = torch.full_like(order, len(order)).scatter_reduce(0, history, order, "amin")
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order), device=order.device)
        return order[place[oldest[history]].argsort(stable=True)]

    def backward(self, rows: Tensor) -> Tensor:
        """See :meth:`Objective.backward`."""
        batch = _Batch.of(rows.to(self.device), self.samples, self._negatives, self._draws)
        if not self.config["share_prefixes"]:
            return self._one_by_one(batch, len(rows))
        _, history, members = torch.unique(self.samples.start[batch.rows], return_inverse=True, return_counts=True)
        alone = members[history] == 1
        parts = [(self._one_by_one, batch.select(alone)), (self._together, batch.select(~alone))]
        return torch.stack([backward(some, len(rows)) for backward, some in parts if len(some.rows)]).sum()

    def _one_by_one(self, batch: _Batch, samples: int) -> Tensor:
        """A history for every sample."""
        batch = batch.select(batch.lengths.argsort(descending=True, stable=True))

        def loss_of(model: S3Rec, part: slice, longest: int, noise: Noise) -> Tensor:
            some = batch.select(part)
            encoded = model.encode_history(self.samples.padded(some.rows, longest), some.lengths, noise)
            return self._loss(model, encoded, some) / samples

        return self._backward(batch.lengths, loss_of)

    def _together(self, batch: _Batch, samples: int) -> Tensor:
        """One forward pass for all prefixes of a history.

        No position sees a later one, so the encoding of a prefix is the longest one's at the prefix' last position.
        """
        batch = batch.select(batch.lengths.argsort(descending=True, stable=True))
        # Histories in the order of their longest prefixes; the samples of each one after the other.
        _, history = torch.unique(self.samples.start[batch.rows], return_inverse=True)
        places = torch.arange(len(history), device=history.device)
        longest_prefix = torch.full_like(places, len(places)).scatter_reduce(0, history, places, "amin")[history]
        batch = batch.select(longest_prefix.argsort(stable=True))
        heads, members = torch.unique_consecutive(self.samples.start[batch.rows], return_counts=True)
        ends = [0, *members.cumsum(0).tolist()]
        first = batch.select(torch.tensor(ends[:-1], device=self.device))

        def loss_of(model: S3Rec, part: slice, longest: int, noise: Noise) -> Tensor:
            stop = min(part.stop, len(heads))
            some = batch.select(slice(ends[part.start], ends[stop]))
            encoded = model.encode_prefixes(self.samples.padded(first.rows[part], longest), noise)
            row = torch.arange(stop - part.start, device=self.device).repeat_interleave(members[part])
            return self._loss(model, encoded[row, some.lengths - 1], some) / samples

        return self._backward(first.lengths, loss_of)

    def _loss(self, model: S3Rec, encoded: Tensor, batch: _Batch) -> Tensor:
        special = self.config["rank_special_tokens"]
        return finetune_loss(model, encoded, batch.targets, batch.negatives, special=special)


@dataclass(frozen=True)
class _Batch:
    """Rows of the training split with what finetuning needs of them."""

    rows: Tensor
    lengths: Tensor
    targets: Tensor
    negatives: Tensor | None

    @classmethod
    def of(
        cls, rows: Tensor, samples: Samples, negatives: NegativeSampler | None, generator: torch.Generator
    ) -> _Batch:
        targets = samples.target[rows]
        drawn = None if negatives is None else negatives(targets, generator)
        return cls(rows, samples.length[rows], targets, drawn)

    def select(self, some: Tensor | slice) -> _Batch:
        negatives = None if self.negatives is None else self.negatives[some]
        return _Batch(self.rows[some], self.lengths[some], self.targets[some], negatives)


def finetune_loss(
    model: S3Rec, encoded: Tensor, targets: Tensor, negatives: Tensor | None, *, special: bool = True
) -> Tensor:
    """Sum over the micro-batch of CE (no negatives) or BPR.

    With ``special`` CE ranks against all rows of the item matrix, padding and mask token included, as RecBole does.
    BPR with several negatives per sample is their mean.

    Args:
        encoded: float [B, H]. targets: int64 [B]. negatives: int64 [B, n] or None.
    """
    items = model.item_embedding
    if negatives is None:
        ranked, first = (items.weight, 0) if special else (items.weight[1:-1], 1)
        return F.cross_entropy(encoded @ ranked.T, targets - first, reduction="sum")
    positive = (encoded * lookup(targets, items)).sum(-1, keepdim=True)
    negative = torch.bmm(lookup(negatives, items), encoded[:, :, None])[:, :, 0]
    return -torch.log(1e-10 + torch.sigmoid(positive - negative)).mean(-1).sum()


def windows(samples: Samples, longest: int) -> Tensor:
    """Samples that together have each of a user's events once, bool [n].

    A user's samples are the prefixes of his events, cut to their last ``longest``. These are the ones that end with the
    last event, ``longest`` events before it, and so on.
    """
    ends = samples.start + samples.length
    last = torch.zeros(int(samples.user.max()) + 1, dtype=ends.dtype, device=ends.device)
    last.scatter_reduce_(0, samples.user, ends, "amax")
    return (last[samples.user] - ends) % longest == 0


def _by_length(rows: Tensor, length: Tensor) -> Tensor:
    """The rows by falling length; equal lengths keep their order."""
    rows = rows.to(length.device)
    return rows[torch.argsort(length[rows], descending=True, stable=True)]
