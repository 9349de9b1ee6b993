"""What the scores depend on, and what they do not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model.surge.attention import AttentionNetwork, Perceptron
from model.surge.graph import Positions
from model.surge.network import SurgeNetwork
from model.surge.recommender import Surge

VARIANTS = ["released", "paper"]
CANDIDATES = torch.tensor([[1, 7, 30, 22, 15]])
CLOSE = {"atol": 1e-6, "rtol": 0.0}


@pytest.fixture(params=VARIANTS)
def network(request, make_network) -> SurgeNetwork:
    return make_network(request.param)


def scores(network: SurgeNetwork, rows: Tensor, lengths: Tensor, items: Tensor = CANDIDATES) -> Tensor:
    with torch.no_grad():
        return network.score(network.context(rows, lengths), items)


def test_appended_padding_changes_nothing(network: SurgeNetwork, histories) -> None:
    rows, lengths = histories
    wider = functional.pad(rows, (0, 20))
    assert torch.equal(scores(network, wider, lengths), scores(network, rows, lengths))


def test_content_under_the_mask_changes_nothing(network: SurgeNetwork, histories) -> None:
    rows, lengths = histories
    junk = torch.where(torch.arange(rows.shape[1]) < lengths[:, None], rows, 13)
    assert torch.equal(scores(network, junk, lengths), scores(network, rows, lengths))


def test_scores_follow_a_permuted_batch(network: SurgeNetwork, histories) -> None:
    rows, lengths = histories
    order = torch.tensor([5, 2, 7, 0, 1, 6, 4, 3])
    torch.testing.assert_close(
        scores(network, rows[order], lengths[order]), scores(network, rows, lengths)[order], **CLOSE
    )


@pytest.mark.parametrize("changes", [{}, {"heads": 2}, {"normalized": False}, {"pool_length": 9}])
@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_one_pair_at_a_time_without_padding(make_network, histories, variant: str, changes: dict) -> None:
    network = make_network(variant, **changes)
    rows, lengths = histories
    with torch.no_grad():
        expected = torch.tensor(
            [
                [one_pair(network, row[:length], item) for item in CANDIDATES[0]]
                for row, length in zip(rows, lengths.tolist(), strict=True)
            ]
        )
    torch.testing.assert_close(scores(network, rows, lengths), expected, **CLOSE)
    assert expected.std() > 1e-3, "the scores differ, so that agreeing means something"


def test_a_score_does_not_depend_on_the_other_candidates(network: SurgeNetwork, histories) -> None:
    rows, lengths = histories
    together = scores(network, rows, lengths)
    for number, item in enumerate(CANDIDATES[0].tolist()):
        alone = scores(network, rows, lengths, torch.tensor([[item]]))
        torch.testing.assert_close(alone[:, 0], together[:, number], **CLOSE)


def test_a_score_does_not_depend_on_the_chunk_size(make_network, histories) -> None:
    for variant in VARIANTS:
        network = make_network(variant, items=301)
        whole, parts = Surge(network, 301, 1 << 30), Surge(network, 301, 1)
        assert len(parts._chunks(301, 1)) > len(whole._chunks(301, 8))
        with torch.no_grad():
            torch.testing.assert_close(parts.score_all(*histories)[:, 1:], whole.score_all(*histories)[:, 1:], **CLOSE)


@pytest.mark.parametrize("count", [1, 5, 200])
@pytest.mark.parametrize("normalized", [True, False])
def test_factored_attention_equals_the_plain_network(make_network, count: int, normalized: bool) -> None:
    network = make_network(normalized=normalized).double().variant.update
    generator = torch.Generator().manual_seed(5)
    nodes = torch.randn(9, 8, generator=generator).double()
    shared = torch.randn(1, count, 8, generator=generator).double()
    own = torch.randn(2, count, 8, generator=generator).double()
    positions = Positions(torch.tensor([4, 5]), 5)
    keys = network.keys(nodes)
    with torch.no_grad():
        for queries in (shared, own):
            expected = plain_attention(network, queries.expand(2, -1, -1)[positions.sequence], nodes[:, None])
            actual = network.for_candidates(queries, keys, positions)
            torch.testing.assert_close(actual, expected, atol=1e-12, rtol=0.0)


@pytest.mark.parametrize(
    ("variant", "positioned", "order_matters"),
    [("released", True, True), ("paper", False, False), ("paper", True, True)],
)
def test_which_variants_see_the_order(make_network, variant: str, positioned: bool, order_matters: bool) -> None:
    network = make_network(variant, positioned=positioned)
    row = torch.arange(1, 13)[None]
    permuted = row[:, torch.randperm(12, generator=torch.Generator().manual_seed(1))]
    lengths = torch.tensor([12])
    difference = (scores(network, row, lengths) - scores(network, permuted, lengths)).abs().max()
    assert (difference > 1e-4) if order_matters else (difference < 1e-6)


def test_column_j_of_all_scores_is_the_score_of_item_j(network: SurgeNetwork, histories) -> None:
    rows, lengths = histories
    surge = Surge(network, 41)
    with torch.no_grad():
        full = surge.score_all(rows, lengths)
        assert torch.isneginf(full[:, 0]).all()
        for item in (1, 17, 40):
            alone = surge.score(rows, lengths, torch.full((len(rows), 1), item))
            torch.testing.assert_close(alone[:, 0], full[:, item], **CLOSE)


def test_sampled_candidates_score_as_in_the_full_ranking(network: SurgeNetwork, histories) -> None:
    rows, lengths = histories
    surge = Surge(network, 41)
    everything = torch.arange(1, 41).expand(len(rows), -1)
    with torch.no_grad():
        torch.testing.assert_close(
            surge.score(rows, lengths, everything), surge.score_all(rows, lengths)[:, 1:], **CLOSE
        )


def one_pair(network: SurgeNetwork, history: Tensor, item: Tensor) -> float:
    """The score of one candidate for one unpadded history, written from the equations alone."""
    shape, variant = network.shape, network.variant
    nodes, query = network.embedding(history), network.embedding(item)
    number = len(history)
    heads = [
        functional.normalize(nodes * weight, dim=1, eps=1e-6) @ functional.normalize(nodes * weight, dim=1, eps=1e-6).T
        for weight in network.graph.metric
    ]
    similarity = sum(heads) / len(heads)
    similarity = ((similarity + similarity.T) / 2).fill_diagonal_(1.0)
    count = max(1, math.ceil(shape.threshold * number**2 - 1e-9))
    edges = similarity >= similarity.flatten().sort(descending=True).values[count - 1]
    degree = edges.sum(1).float()
    adjacency = edges / torch.sqrt(degree[:, None] * degree[None, :])
    many = query.expand(number, -1)

    def cluster(head, features: Tensor) -> Tensor:
        return plain_attention(head.cluster, adjacency @ (adjacency @ features), features)

    if network.variant_name == "released":
        fused = 0
        for head in variant.heads:
            share = cluster(head, nodes).softmax(0)
            mixing = share.expand(number, -1).masked_fill(~edges, -torch.inf).softmax(1)
            fused = fused + functional.leaky_relu(head.aggregate(mixing @ nodes) + nodes, 0.2) / shape.heads
        strength = sum(
            cluster(head, fused).softmax(0) + plain_attention(head.query, many, fused).softmax(0)
            for head in variant.heads
        )
        gamma = (strength / shape.heads).softmax(0)
        kept = sorted(sorted(range(number), key=lambda i: (-gamma[i].item(), -i))[: shape.pool_length])
        summary = sum(gamma[i] * fused[i] for i in kept)
        sequence = fused[kept]
        attention = plain_attention(variant.update, query.expand(len(kept), -1), sequence).softmax(0)
    else:
        fused, gamma = 0, 0
        for head in variant.heads:
            alpha, beta = cluster(head, nodes), plain_attention(head.query, many, nodes)
            logits = functional.leaky_relu(alpha[:, None] + beta[None, :], 0.2)
            mixing = logits.masked_fill(~edges, -torch.inf).softmax(1)
            fused = fused + functional.leaky_relu(mixing @ head.aggregate(nodes) + nodes, 0.2) / shape.heads
            gamma = gamma + beta.softmax(0) / shape.heads
        summary = gamma @ fused
        if number > shape.pool_length:
            logits = variant.assignment(adjacency @ fused)
            if variant.band is not None:
                logits = logits + torch.stack([variant.band[i * shape.longest // number] for i in range(number)])
            shares = logits.softmax(1)
            sequence, attention = shares.T @ fused, shares.T @ gamma
        else:
            sequence, attention = fused, gamma

    state = torch.zeros(shape.hidden)
    weight, bias = variant.gru.input.weight, variant.gru.input.bias
    for value, damping in zip(sequence, attention, strict=True):
        reset_in, update_in, fresh_in = (weight @ value + bias).chunk(3)
        reset_state, update_state = (variant.gru.gates.weight @ state).chunk(2)
        reset, update = torch.sigmoid(reset_in + reset_state), torch.sigmoid(update_in + update_state)
        fresh = torch.tanh(fresh_in + variant.gru.candidate.weight @ (reset * state))
        update = (1 - damping) * update
        state = update * state + (1 - update) * fresh
    return plain_perceptron(network.prediction, torch.cat([state, summary, query, summary * query])).item()


def plain_attention(network: AttentionNetwork, queries: Tensor, nodes: Tensor) -> Tensor:
    keys = network.transform(nodes).expand_as(queries)
    return plain_perceptron(network.perceptron, torch.cat([keys, queries, keys - queries, keys * queries], dim=-1))


def plain_perceptron(perceptron: Perceptron, values: Tensor) -> Tensor:
    for layer in perceptron.layers:
        values = functional.linear(values, layer.linear.weight, layer.linear.bias)
        if layer.norm is not None:
            norm = layer.norm
            values = (values - norm.running_mean) / torch.sqrt(norm.running_var + norm.eps) * norm.weight + norm.bias
        values = torch.relu(values)
    return perceptron.final(values)[..., 0]
