"""The interest graph: what becomes an edge."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from model.surge.graph import InterestGraph, Positions

WIDTH = 8
LENGTHS = torch.tensor([12, 1, 7, 3])


def graph_of(threshold: float, heads: int = 2) -> InterestGraph:
    graph = InterestGraph(WIDTH, heads, threshold, trained=True)
    graph.reset(torch.Generator().manual_seed(1))
    return graph


@pytest.fixture
def nodes() -> Tensor:
    return torch.randn(4, 12, WIDTH, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def positions() -> Positions:
    return Positions(LENGTHS, 12)


def valid_pairs(positions: Positions) -> Tensor:
    return positions.mask[:, :, None] & positions.mask[:, None, :]


def test_a_threshold_of_1_keeps_all_valid_pairs(nodes: Tensor, positions: Positions) -> None:
    edges = graph_of(1.0)(nodes, positions).edges
    assert torch.equal(
        edges & ~torch.eye(12, dtype=torch.bool), valid_pairs(positions) & ~torch.eye(12, dtype=torch.bool)
    )
    assert edges.diagonal(dim1=1, dim2=2).all()


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.3, 0.5, 0.7, 0.95])
def test_as_many_edges_as_the_threshold_says(nodes: Tensor, positions: Positions, threshold: float) -> None:
    edges = graph_of(threshold)(nodes, positions).edges & valid_pairs(positions)
    for length, count in zip(LENGTHS.tolist(), edges.sum((1, 2)).tolist(), strict=True):
        wanted = max(math.ceil(threshold * length**2 - 1e-9), length)
        # Pairs come in twos; an odd rest takes both of its last pair.
        assert count == wanted + (wanted - length) % 2


def test_the_sorted_triangle_gives_the_same_edges_as_sorting_all_pairs(nodes: Tensor, positions: Positions) -> None:
    for threshold in (0.01, 0.2, 0.37, 0.5, 0.99, 1.0):
        graph = graph_of(threshold)
        similarity = graph.similarity(nodes)
        for row, length in enumerate(LENGTHS.tolist()):
            ranked = similarity[row, :length, :length].clone().fill_diagonal_(1.0)
            count = max(1, math.ceil(threshold * length**2 - 1e-9))
            least = ranked.flatten().sort(descending=True).values[count - 1]
            assert torch.equal(graph.edges(similarity, positions)[row, :length, :length], ranked >= least)


def test_edges_are_symmetric_and_grow_with_the_threshold(nodes: Tensor, positions: Positions) -> None:
    fewer, more = (graph_of(threshold)(nodes, positions).edges for threshold in (0.3, 0.6))
    for edges in (fewer, more):
        assert torch.equal(edges, edges.transpose(1, 2))
    assert (fewer <= more).all()
    assert (fewer != more).any()


def test_a_tiny_threshold_leaves_only_self_loops(nodes: Tensor, positions: Positions) -> None:
    edges = graph_of(0.0001)(nodes, positions).edges
    assert torch.equal(edges, torch.eye(12, dtype=torch.bool).expand(4, -1, -1))


def test_similarity_ignores_sign_and_scale_of_metric_and_features(nodes: Tensor) -> None:
    graph = graph_of(0.5)
    with torch.no_grad():
        before = graph.similarity(nodes)
        torch.testing.assert_close(graph.similarity(nodes * 1000), before, atol=1e-6, rtol=0)
        for factor in (-1.0, 37.0):
            graph.metric.mul_(factor)
            torch.testing.assert_close(graph.similarity(nodes), before, atol=1e-6, rtol=0)


def test_heads_average_cosines_of_weighted_features(nodes: Tensor) -> None:
    graph = graph_of(0.5, heads=3)
    with torch.no_grad():
        expected = torch.stack(
            [
                torch.cosine_similarity(nodes[:, :, None] * weight, nodes[:, None] * weight, dim=-1)
                for weight in graph.metric
            ]
        ).mean(0)
        torch.testing.assert_close(graph.similarity(nodes), expected, atol=1e-6, rtol=0)


def test_straight_through_changes_the_gradient_and_not_the_value(nodes: Tensor, positions: Positions) -> None:
    graph = graph_of(0.4)
    built = graph(nodes, positions)
    adjacency = built.edges.float()
    degree = adjacency.sum(-1)
    expected = adjacency / torch.sqrt(degree[:, :, None] * degree[:, None, :])
    torch.testing.assert_close(built.weights, expected, atol=1e-6, rtol=0)
    built.two_hops(nodes).square().sum().backward()
    assert graph.metric.grad is not None
    assert graph.metric.grad.abs().max() > 1e-6


@pytest.mark.parametrize("variant", ["released", "paper"])
@pytest.mark.parametrize("history", [[5], [5, 5, 5, 5, 5], [3, 3, 8, 3, 8, 9], [4, 4]])
def test_single_and_repeated_items_stay_finite(make_network, variant: str, history: list[int]) -> None:
    network = make_network(variant).train()
    items = torch.tensor([history])
    context = network.context(items, torch.tensor([len(history)]))
    scores = network.score(context, torch.tensor([[1, 2, 3, 5]]))
    scores.square().sum().backward()
    assert torch.isfinite(scores).all()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    repeated = torch.tensor(history)[:, None] == torch.tensor(history)
    assert (context.graph.edges[0] >= repeated).all(), "an item is always linked with itself"


def test_pairs_that_differ_by_rounding_alone_are_ties() -> None:
    """Two of 66 pairs are wanted, and three share the second place but for the last bit."""
    similarity = torch.full((1, 12, 12), 0.25)
    for row, column, value in ((0, 1, 0.9), (2, 3, 0.5), (4, 5, 0.5 + 6e-8), (6, 7, 0.5 - 6e-8), (8, 9, 0.4999)):
        similarity[0, row, column] = similarity[0, column, row] = value
    edges = graph_of((12 + 2 * 2) / 12**2).edges(similarity, Positions(torch.tensor([12]), 12))
    linked = [tuple(pair) for pair in edges[0].triu(1).nonzero().tolist()]
    assert linked == [(0, 1), (2, 3), (4, 5), (6, 7)]
