"""From a graph to a short sequence: keeping the strongest nodes, or gathering nodes in soft clusters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.surge.graph import Graph, Positions


@dataclass(frozen=True)
class Kept:
    """The nodes that hard pooling keeps, in time order.

    Attributes:
        places: int64 [B, C, m], positions in the sequence; 0 where a sequence has fewer than m.
        valid: bool [B, m], whether there is such a node.
        full: whether all are valid.
    """

    places: Tensor
    valid: Tensor
    full: bool


def keep_strongest(strength: Tensor, positions: Positions, size: int) -> Kept:
    """Exactly min(size, n) nodes of the highest strength; among equals the more recent.

    Args:
        strength: float [B, C, L]; padding is ignored.
    """
    size = min(size, positions.width)
    counts = positions.lengths.clamp(max=size)
    strength = strength.detach().masked_fill(~positions.mask[:, None, :], -torch.inf)
    last = (counts - 1)[:, None, None].expand(-1, strength.shape[1], 1)
    least = strength.topk(size, dim=-1).values.gather(-1, last)
    above, equal = strength > least, strength == least
    wanted = counts[:, None, None] - above.sum(-1, keepdim=True)
    later = equal.flip(-1).cumsum(-1).flip(-1)
    chosen = (above | (equal & (later <= wanted))).nonzero()[:, 2]

    valid = torch.arange(size, device=strength.device) < counts[:, None]
    rows, candidates = strength.shape[:2]
    if len(chosen) == rows * candidates * size:
        return Kept(chosen.view(rows, candidates, size), valid, full=True)
    places = chosen.new_zeros(rows, candidates, size)
    places[valid[:, None, :].expand_as(places)] = chosen
    return Kept(places, valid, full=False)


def relative_places(positions: Positions, longest: int) -> Tensor:
    """int64 [B, L]: each place stretched to a history of ``longest`` items (0-based)."""
    places = torch.arange(positions.width, device=positions.lengths.device)
    return (places * longest // positions.lengths[:, None]).clamp(max=longest - 1)


def position_band(longest: int, clusters: int) -> Tensor:
    """float [longest, clusters]: logits that send the k-th share of the history to the k-th cluster."""
    place = (torch.arange(longest)[:, None] + 0.5) * clusters / longest
    center = torch.arange(clusters)[None, :] + 0.5
    return -((place - center) ** 2) / 2


def assign(logits: Tensor, positions: Positions) -> Tensor:
    """Soft assignment of nodes to m clusters, S transposed: [B, C, m, L] -> the same; 0 for padding.

    A sequence with no more than m nodes is not pooled: node i alone makes cluster i.
    """
    clusters = logits.shape[2]
    shares = logits.softmax(2)
    short = positions.lengths <= clusters
    if short.any():
        alone = torch.eye(clusters, positions.width, dtype=logits.dtype, device=logits.device)
        shares = torch.where(short[:, None, None, None], alone, shares)
    return shares * positions.mask[:, None, None, :]


def filled_clusters(positions: Positions, clusters: int) -> Tensor:
    """bool [B, m]: clusters that :func:`assign` gives anything to."""
    numbers = torch.arange(clusters, device=positions.lengths.device)
    return (positions.lengths[:, None] > clusters) | (numbers < positions.lengths[:, None])


@dataclass(frozen=True)
class Regularization:
    """The three penalties of soft pooling, each summed over the sequences that were pooled (scalars)."""

    same_mapping: Tensor
    single_affiliation: Tensor
    relative_position: Tensor


def regularize(shares: Tensor, graph: Graph, positions: Positions, form: str) -> Regularization:
    """Penalties of an assignment S, over sequences with more nodes than clusters.

    Args:
        shares: S transposed, float [B, m, L].
        form: ``mean`` compares each cluster's mean relative position with its place among the clusters;
            ``literal`` is equation 15 as printed.
    """
    pooled = positions.lengths > shares.shape[1]
    shares, mask = shares[pooled].transpose(1, 2), positions.mask[pooled]
    lengths = positions.lengths[pooled].to(shares.dtype)
    valid = mask[:, :, None] & mask[:, None, :]
    mapping = (graph.edges[pooled].to(shares.dtype) - shares @ shares.transpose(1, 2)) * valid
    entropy = -(shares * shares.clamp(min=1e-12).log()).sum((1, 2)) / lengths
    return Regularization(
        same_mapping=_norm(mapping.flatten(1)).sum(),
        single_affiliation=entropy.sum(),
        relative_position=_norm(_displacement(shares, lengths, form)).sum(),
    )


def _displacement(shares: Tensor, lengths: Tensor, form: str) -> Tensor:
    """[B, m]: how far each cluster is from its place."""
    nodes = torch.arange(1, shares.shape[1] + 1, dtype=shares.dtype, device=shares.device)
    clusters = torch.arange(1, shares.shape[2] + 1, dtype=shares.dtype, device=shares.device)
    summed = torch.einsum("l,blm->bm", nodes, shares)
    if form == "literal":
        return summed - clusters
    mean = summed / shares.sum(1).clamp(min=1e-6)
    return mean / lengths[:, None] - (clusters - 0.5) / len(clusters)


def _norm(values: Tensor) -> Tensor:
    """Euclidean norm over the last dimension with a gradient of 0, not NaN, at 0."""
    squares = values.square().sum(-1)
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1.0).sqrt(), 0.0)
