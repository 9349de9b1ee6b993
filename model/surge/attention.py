"""The attention network of SURGE and its exact factoring for ranking many candidates.

The network of a query ``a`` and a key ``k`` is a small perceptron over ``[kW, a, kW - a, kW * a]``. Its
first layer is split into what depends on the key alone, on the query alone, and on their product, so that
nothing is computed twice; see :meth:`AttentionNetwork.for_candidates`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.surge.graph import Positions, take


def leaky_relu(values: Tensor) -> Tensor:
    """With the slope of 0.2 that the authors' framework has by default."""
    return functional.leaky_relu(values, 0.2)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "leaky_relu": leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
# From this many shared candidates on, one product with [d, P * 80] beats P products with [d, 80].
SHARED_FROM = 80
# Numbers of a hidden layer computed at once.
_CACHED = 1 << 18


def linear(inputs: int, outputs: int, *, bias: bool) -> nn.Linear:
    """A layer without values yet: torch's constructor would draw them from the global generator."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)  # type: ignore[no-untyped-call]
    assert isinstance(layer, nn.Linear)
    return layer


class Norm(nn.BatchNorm1d):
    """Batch normalisation over all leading dimensions, with the authors' constants.

    The caller passes valid entries only, so padding enters no statistics.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-4, momentum=0.05)

    def forward(self, values: Tensor) -> Tensor:
        """Normalises [..., width]."""
        rows = values.reshape(-1, values.shape[-1])
        # One row has no variance; it is normalised as at evaluation.
        batch = self.training and len(rows) > 1
        normal = functional.batch_norm(
            rows,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            batch,
            self.momentum or 0.0,
            self.eps,
        )
        return normal.view_as(values)

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """What the layer multiplies by and adds at evaluation: float [width] each."""
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight / torch.sqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale


class Layer(nn.Module):
    """A linear map with batch normalisation, or, without it, with a bias.

    Both would be one too many: normalisation takes any constant away again.
    """

    def __init__(self, inputs: int, outputs: int, *, normalized: bool) -> None:
        super().__init__()
        self.linear = linear(inputs, outputs, bias=not normalized)
        self.norm = Norm(outputs) if normalized else None

    def map(self) -> tuple[Tensor, Tensor | None]:
        """Weight [outputs, inputs] and bias; at evaluation the normalisation is multiplied in."""
        if self.norm is None or self.training:
            return self.linear.weight, self.linear.bias
        scale, shift = self.norm.scale_and_shift()
        return self.linear.weight * scale[:, None], shift

    def normalize(self, values: Tensor) -> Tensor:
        """What is left to do after :meth:`map`: batch statistics in training."""
        if self.norm is None or not self.training:
            return values
        normal: Tensor = self.norm(values)
        return normal


class Perceptron(nn.Module):
    """Hidden layers with an activation, then a linear map to one number.

    Args:
        final_bias: False where every use of the output ignores a constant (softmax over the outputs).
    """

    def __init__(
        self, inputs: int, sizes: tuple[int, ...], activation: str, *, normalized: bool, final_bias: bool
    ) -> None:
        super().__init__()
        widths = (inputs, *sizes)
        self.layers = nn.ModuleList(Layer(*pair, normalized=normalized) for pair in pairwise(widths))
        self.final = linear(widths[-1], 1, bias=final_bias)
        self.activation = ACTIVATIONS[activation]

    def forward(self, values: Tensor) -> Tensor:
        """[..., inputs] -> [...]."""
        weight, bias = self.first()
        return self.from_first(functional.linear(values, weight, bias))

    def first(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the first layer; see :meth:`Layer.map`."""
        return self._layers[0].map()

    def from_first(self, values: Tensor) -> Tensor:
        """[..., first size] -> [...]: everything after the first linear map. May overwrite ``values``."""
        values = self._activate(self._layers[0].normalize(values))
        for layer in self._layers[1:]:
            weight, bias = layer.map()
            values = self._activate(layer.normalize(functional.linear(values, weight, bias)))
        return functional.linear(values, self.final.weight, self.final.bias)[..., 0]

    @property
    def _layers(self) -> list[Layer]:
        return cast("list[Layer]", list(self.layers))

    def _activate(self, values: Tensor) -> Tensor:
        if self.activation is functional.relu and not torch.is_grad_enabled():
            return values.relu_()
        return self.activation(values)


@dataclass(frozen=True)
class Keys:
    """Keys of P items as the first layer needs them.

    Attributes:
        mapped: kW, float [P, d].
        offset: the key's own part of the first layer, float [P, 80].
    """

    mapped: Tensor
    offset: Tensor

    def at(self, index: Tensor) -> Keys:
        """The keys at ``index``."""
        return Keys(take(self.mapped, index), take(self.offset, index))


class AttentionNetwork(nn.Module):
    """One logit for each pair of a query and a key, both of width d.

    Args:
        final_bias: see :class:`Perceptron`.
    """

    def __init__(
        self, width: int, sizes: tuple[int, ...], activation: str, *, normalized: bool, final_bias: bool
    ) -> None:
        super().__init__()
        self.transform = linear(width, width, bias=False)
        self.perceptron = Perceptron(4 * width, sizes, activation, normalized=normalized, final_bias=final_bias)

    def keys(self, nodes: Tensor) -> Keys:
        """Keys of the nodes [P, d]."""
        mapped = self.transform(nodes)
        blocks, bias = self._first_layer()
        return Keys(mapped, functional.linear(mapped, blocks[0] + blocks[2], bias))

    def for_pairs(self, queries: Tensor, keys: Keys) -> Tensor:
        """Logits [P, ...] of queries [P, ..., d], each with its own key."""
        return self._pairs(queries, self._query_part(queries), keys)

    def for_candidates(self, queries: Tensor, keys: Keys, positions: Positions) -> Tensor:
        """Logits of every candidate with every item of its sequence.

        Args:
            queries: float [B, C, d], or [1, C, d] for candidates that all sequences share.
            keys: of the P items that ``positions`` packs.

        Returns:
            float [P, C].
        """
        if len(queries) == 1 and queries.shape[1] >= SHARED_FROM:
            return self._shared(queries[0], keys).T
        part = self._query_part(queries)
        if len(queries) > 1:
            queries, part = take(queries, positions.sequence), take(part, positions.sequence)
        return self._pairs(queries, part, keys)

    def for_chosen(self, queries: Tensor, keys: Keys, row: Tensor, item: Tensor) -> Tensor:
        """Logits [Q] of listed pairs: query ``row[q]`` of [R, d] with packed item ``item[q]``."""
        part = self._query_part(queries)
        return self._pairs(take(queries, row), take(part, row), keys.at(item))

    def _pairs(self, queries: Tensor, part: Tensor, keys: Keys) -> Tensor:
        """The product form: the intermediate is [P, C, d]."""
        mapped, offset = keys.mapped, keys.offset
        while mapped.dim() < queries.dim():
            mapped, offset = mapped[:, None], offset[:, None]
        blocks, _ = self._first_layer()
        first = functional.linear(queries * mapped, blocks[3])
        return self.perceptron.from_first(first + part + offset)

    def _shared(self, queries: Tensor, keys: Keys) -> Tensor:
        """The shared form, [C, d] -> [C, P]: given the key, the whole first layer is affine in the query.

        ``q -> q (diag(kW) Wd + Wb - Wc) + offset``, so all keys together are one matrix [d + 1, P * 80] (the last
        row meets a 1 behind the query) and the layer is a single product, with no elementwise pass after it.
        """
        blocks, _ = self._first_layer()
        by_item = keys.mapped.T[:, :, None] * blocks[3].T[:, None, :] + (blocks[1] - blocks[2]).T[:, None, :]
        matrix = torch.cat([by_item.flatten(1), keys.offset.reshape(1, -1)])
        extended = functional.pad(queries, (0, 1), value=1.0)
        # A few queries at a time, so that what the hidden layers exchange stays in a core's cache.
        rows = max(1, _CACHED // matrix.shape[1]) if queries.device.type == "cpu" else len(queries)
        return torch.cat(
            [
                self.perceptron.from_first((part @ matrix).view(len(part), *keys.offset.shape))
                for part in extended.split(rows)  # type: ignore[no-untyped-call]
            ]
        )

    def _query_part(self, queries: Tensor) -> Tensor:
        blocks, _ = self._first_layer()
        return functional.linear(queries, blocks[1] - blocks[2])

    def _first_layer(self) -> tuple[tuple[Tensor, ...], Tensor | None]:
        weight, bias = self.perceptron.first()
        return weight.chunk(4, dim=1), bias


def softmax_over_items(logits: Tensor, positions: Positions) -> Tensor:
    """[P, ...] -> [B, L, ...]: softmax over each sequence's items, exactly 0 in the padding."""
    return positions.unpack(logits, -torch.inf).softmax(1)
