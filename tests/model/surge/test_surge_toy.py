"""A data set with planted interests: does the graph find them?"""

from __future__ import annotations

from functools import cache
from statistics import fmean

import pytest
import torch
from torch import Tensor

from model.surge.network import ItemEmbedding, SurgeNetwork
from model.surge.picture import find_clusters
from model.surge.recommender import Surge
from model.surge.shape import Shape

GROUPS, SIZE, LONGEST, STEPS, BATCH, NEGATIVES = 4, 20, 24, 400, 64, 4
ITEMS = GROUPS * SIZE + 1


def group_of(items: Tensor) -> Tensor:
    """Items 1..20 are group 0, 21..40 group 1, ..."""
    return (items - 1) // SIZE


def draw(number: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Histories, lengths, core groups and targets: users follow a core interest, a second one, and noise."""

    def integers(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    lengths = 10 + integers(LONGEST - 9, number)
    core = integers(GROUPS, number)
    second = (core + 1 + integers(GROUPS - 1, number)) % GROUPS
    chance = torch.rand(number, LONGEST, generator=generator)
    group = torch.where(chance < 0.60, core[:, None], second[:, None])
    group = torch.where(chance < 0.85, group, integers(GROUPS, number, LONGEST))
    items = group * SIZE + 1 + integers(SIZE, number, LONGEST)
    histories = items.masked_fill(torch.arange(LONGEST) >= lengths[:, None], 0)
    return histories, lengths, core, core * SIZE + 1 + integers(SIZE, number)


@cache
def trained(variant: str, metric_trained: bool, seed: int) -> SurgeNetwork:
    shape = Shape(
        width=16,
        hidden=16,
        heads=1,
        metric_heads=1,
        threshold=0.35,
        metric_trained=metric_trained,
        pool_length=8,
        longest=LONGEST,
        attention_sizes=(80, 40),
        activation="relu",
        prediction_sizes=(100, 64),
        normalized=True,
        positioned=True,
        constant=False,
    )
    network = SurgeNetwork(variant, ItemEmbedding(ITEMS, 16, None, 0, 0), shape, 0.0)
    generator = torch.Generator().manual_seed(seed)
    network.reset(generator)
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(STEPS):
        histories, lengths, _, targets = draw(BATCH, generator)
        wrong = torch.randint(1, ITEMS - 1, (BATCH, NEGATIVES), generator=generator)
        items = torch.cat([targets[:, None], wrong + (wrong >= targets[:, None])], dim=1)
        optimizer.zero_grad()
        scores = network.score(network.context(histories, lengths), items)
        (-scores.log_softmax(1)[:, 0].mean()).backward()
        optimizer.step()
    return network.eval()


def pairs(network: SurgeNetwork) -> tuple[Tensor, Tensor, Tensor]:
    """Of all pairs of different places of 200 new users: similarity, whether linked, whether of one group."""
    histories, lengths, _, _ = draw(200, torch.Generator().manual_seed(99))
    with torch.no_grad():
        context = network.context(histories, lengths)
    upper = torch.ones(LONGEST, LONGEST, dtype=torch.bool).triu(1)[None]
    mask = context.positions.mask
    chosen = mask[:, :, None] & mask[:, None, :] & upper[:, : mask.shape[1], : mask.shape[1]]
    group = group_of(histories)
    return (
        context.graph.similarity[chosen],
        context.graph.edges[chosen],
        (group[:, :, None] == group[:, None, :])[chosen],
    )


def chance_of_order(higher: Tensor, lower: Tensor) -> float:
    """P(a value of the first set exceeds one of the second)."""
    return (torch.searchsorted(lower.sort().values, higher).double().mean() / len(lower)).item()


CASES = pytest.mark.parametrize("metric_trained", [True, False], ids=["ste", "none"])
# One training is luck, and another processor's rounding is another training: what is stated is the mean of a few.
SEEDS = (1, 2, 3)


@pytest.mark.slow
@CASES
@pytest.mark.parametrize("variant", ["released", "paper"])
def test_the_graph_finds_the_planted_interests(variant: str, metric_trained: bool) -> None:
    found = [interests_found(trained(variant, metric_trained, seed)) for seed in SEEDS]
    edges, order, best = (fmean(values) for values in zip(*found, strict=True))
    print(f"\n{edges:.3f} of the edges inside an interest, similarity in order {order:.3f}, top 10 {best:.3f}")
    assert edges >= 0.85
    assert order >= 0.90
    assert best >= 0.75


def interests_found(network: SurgeNetwork) -> tuple[float, float, float]:
    """Share of edges inside a group; P(similarity inside > across); share of the top 10 in the user's core group."""
    similarity, linked, same = pairs(network)
    histories, lengths, core, _ = draw(100, torch.Generator().manual_seed(5))
    with torch.no_grad():
        best = Surge(network, ITEMS).score_all(histories, lengths).topk(10).indices
    return (
        same[linked].double().mean().item(),
        chance_of_order(similarity[same], similarity[~same]),
        (group_of(best) == core[:, None]).double().mean().item(),
    )


@pytest.mark.slow
@CASES
@pytest.mark.parametrize("variant", ["released", "paper"])
def test_sorted_by_interest_the_graph_is_four_blocks(variant: str, metric_trained: bool) -> None:
    """Dense inside each interest, sparse between."""
    edges = torch.cat([users_with_all_interests(trained(variant, metric_trained, seed)) for seed in SEEDS])
    size = LONGEST // GROUPS
    density = edges.float().view(-1, GROUPS, size, GROUPS, size).mean((0, 2, 4))
    between = density[~torch.eye(GROUPS, dtype=torch.bool)]
    print("\n" + "\n".join("".join("#" if edge else "." for edge in row) for row in edges[0].tolist()))
    assert density.diagonal().min() > between.max() + 0.4


@pytest.mark.slow
def test_the_pictures_clusters_follow_the_planted_interests() -> None:
    # The threshold asks for more edges than four blocks have, so that two interests may be drawn as one.
    group = torch.arange(GROUPS).repeat_interleave(LONGEST // GROUPS)
    agreement = []
    for edges in users_with_all_interests(trained("released", False, SEEDS[0])):
        clusters = torch.from_numpy(find_clusters(edges.numpy()))
        together = clusters[:, None] == clusters
        agreement.append((together == (group[:, None] == group)).double().mean().item())
    assert fmean(agreement) >= 0.75


def users_with_all_interests(network: SurgeNetwork, users: int = 20) -> Tensor:
    """Edges [users, LONGEST, LONGEST] of histories of six items of each group, sorted by group."""
    generator = torch.Generator().manual_seed(1)
    group = torch.arange(GROUPS).repeat_interleave(LONGEST // GROUPS)
    items = group * SIZE + 1 + torch.randint(SIZE, (users, LONGEST), generator=generator)
    with torch.no_grad():
        return network.context(items, torch.full((users,), LONGEST)).graph.edges


def test_untrained_graphs_know_nothing() -> None:
    embedding = ItemEmbedding(ITEMS, 16, None, 0, 0)
    shape = Shape(16, 16, 1, 1, 0.35, True, 8, LONGEST, (80, 40), "relu", (100, 64), True, True, False)
    network = SurgeNetwork("released", embedding, shape, 0.0)
    network.reset(torch.Generator().manual_seed(0))
    similarity, linked, same = pairs(network.eval())
    assert same[linked].double().mean() == pytest.approx(same.double().mean().item(), abs=0.06)
    assert chance_of_order(similarity[same], similarity[~same]) == pytest.approx(0.5, abs=0.06)
