"""Hard and soft pooling, and the penalties of the soft one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from model.surge.graph import Graph, Positions
from model.surge.pooling import Regularization, assign, keep_strongest, position_band, regularize, relative_places


def test_exactly_the_strongest_are_kept_in_time_order() -> None:
    strength = torch.tensor([[[0.1, 0.5, 0.2, 0.4, 0.3, 9.0], [0.9, 0.1, 0.8, 0.2, 0.7, 9.0]]])
    kept = keep_strongest(strength, Positions(torch.tensor([5]), 6), 3)
    assert kept.places.tolist() == [[[1, 3, 4], [0, 2, 4]]]
    assert kept.full


def test_among_equals_the_more_recent_are_kept() -> None:
    strength = torch.tensor([[[0.5, 0.5, 0.7, 0.5, 0.5, 0.1]]])
    kept = keep_strongest(strength, Positions(torch.tensor([6]), 6), 3)
    assert kept.places.tolist() == [[[2, 3, 4]]]
    constant = keep_strongest(torch.ones(1, 1, 6), Positions(torch.tensor([4]), 6), 3)
    assert constant.places.tolist() == [[[1, 2, 3]]]


def test_short_histories_keep_everything() -> None:
    strength = torch.rand(2, 1, 6, generator=torch.Generator().manual_seed(0))
    kept = keep_strongest(strength, Positions(torch.tensor([2, 6]), 6), 4)
    assert kept.places[0, 0, :2].tolist() == [0, 1]
    assert kept.valid.tolist() == [[True, True, False, False], [True] * 4]
    assert kept.places[1, 0].diff().min() > 0
    assert not kept.full


def test_soft_assignment_shares_out_each_node_once(make_network, histories) -> None:
    network = make_network("paper")
    rows, lengths = histories
    with torch.no_grad():
        context = network.context(rows, lengths)
        shares = network.scored(context, torch.tensor([[1, 2, 3]])).shares
    mask = context.positions.mask[:, None].expand(-1, 3, -1)
    torch.testing.assert_close(shares.sum(2), mask.float(), atol=1e-6, rtol=0)
    torch.testing.assert_close(shares.sum((2, 3)), lengths[:, None].float().expand(-1, 3), atol=1e-5, rtol=0)


def test_attention_sums_to_one_before_and_after_pooling(make_network, histories, monkeypatch) -> None:
    network = make_network("paper")
    rows, lengths = histories
    seen: list[Tensor] = []
    run = network.variant.gru.forward

    def forward(steps, attention, valid):
        seen.append(attention)
        return run(steps, attention, valid)

    monkeypatch.setattr(network.variant.gru, "forward", forward)
    with torch.no_grad():
        network.score(network.context(rows, lengths), torch.tensor([[1, 2, 3]]))
    torch.testing.assert_close(seen[0].sum(-1), torch.ones(len(rows) * 3), atol=1e-6, rtol=0)


def test_histories_no_longer_than_the_pool_are_not_pooled() -> None:
    logits = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    shares = assign(logits, Positions(torch.tensor([3, 6]), 6))
    nodes = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    clusters = shares[0, 0] @ nodes
    assert torch.equal(clusters[:3], nodes[:3])
    assert torch.equal(clusters[3], torch.zeros(5))


def test_places_are_relative_to_the_length_of_the_history() -> None:
    places = relative_places(Positions(torch.tensor([5, 10]), 10), 10)
    assert places[0, :5].tolist() == [0, 2, 4, 6, 8]
    assert places[1].tolist() == list(range(10))


def penalties(shares: Tensor, edges: Tensor, form: str = "mean") -> Regularization:
    number = shares.shape[0]
    graph = Graph(torch.zeros(1, number, number), edges[None], torch.zeros(1, number, number))
    return regularize(shares.T[None], graph, Positions(torch.tensor([number]), number), form)


def test_one_hot_assignment_to_the_blocks_of_the_graph_costs_nothing() -> None:
    block = torch.arange(12) // 4
    edges = block[:, None] == block
    one_hot = torch.nn.functional.one_hot(block, 3).float()
    found = penalties(one_hot, edges)
    assert found.same_mapping == 0
    assert found.single_affiliation == 0


def test_single_affiliation_of_a_uniform_assignment_is_the_logarithm_of_m() -> None:
    found = penalties(torch.full((12, 4), 0.25), torch.eye(12, dtype=torch.bool))
    assert found.single_affiliation.item() == pytest.approx(math.log(4), abs=1e-6)


def test_the_mean_form_prefers_temporal_order_and_the_literal_form_does_not() -> None:
    n, m = 50, 10
    edges = torch.eye(n, dtype=torch.bool)
    diagonal = torch.nn.functional.one_hot(torch.arange(n) * m // n, m).float()
    soft = position_band(n, m).softmax(1)
    uniform = torch.full((n, m), 1 / m)
    ordered, band, flat, reverse = (
        penalties(shares, edges).relative_position.item() for shares in (diagonal, soft, uniform, diagonal.flip(0))
    )
    assert ordered < band < flat < reverse
    assert ordered == pytest.approx(0.03, abs=0.005)
    assert flat == pytest.approx(0.91, abs=0.02)
    assert reverse == pytest.approx(1.81, abs=0.02)
    literal = {
        name: penalties(shares, edges, "literal").relative_position.item()
        for name, shares in {"uniform": uniform, "diagonal": diagonal, "reverse": diagonal.flip(0)}.items()
    }
    assert literal["uniform"] == pytest.approx(386, abs=1)
    assert literal["diagonal"] == pytest.approx(442, abs=2)
    assert literal["reverse"] == pytest.approx(451, abs=2)
    assert min(literal.values()) >= (n * (n + 1) - m * (m + 1)) / (2 * math.sqrt(m)) - 1e-3


def test_unpooled_histories_enter_no_penalty() -> None:
    found = penalties(torch.eye(4), torch.eye(4, dtype=torch.bool))
    assert (found.same_mapping, found.single_affiliation, found.relative_position) == (0, 0, 0)
