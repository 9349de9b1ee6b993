"""The interest graph of one user as a picture.

Left, the items on a circle, neighbours in the circle being of one cluster, with an arc for every edge, the darker the
more similar; right, the same as a matrix, in which clusters are blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.colors import qualitative
from plotly.subplots import make_subplots

from model.recommender import Recommender
from model.surge.recommender import Surge

# A browser gets no more edges than this; the most similar ones stay.
_MOST_EDGES = 2000
_SHADES = 5


@dataclass(frozen=True)
class UserGraph:
    """A user's interest graph, its items sorted by cluster and, within one, by time.

    Attributes:
        items: ids, int64 [n].
        places: positions in the history, oldest 0, int64 [n].
        clusters: number of each item's cluster, the largest first, int64 [n].
        similarity: float [n, n], in [-1, 1].
        edges: bool [n, n].
    """

    items: np.ndarray
    places: np.ndarray
    clusters: np.ndarray
    similarity: np.ndarray
    edges: np.ndarray


def interest_graph(model: Surge, history: torch.Tensor) -> UserGraph:
    """The graph that ``model`` sees in a history, int64 [n]."""
    device = next(model.parameters()).device
    lengths = torch.tensor([len(history)], device=device)
    training = model.training
    model.eval()
    with torch.no_grad():
        graph = model.network.context(history[None].to(device), lengths).graph
    model.train(training)
    similarity, edges = graph.similarity[0].cpu().numpy(), graph.edges[0].cpu().numpy()
    clusters = find_clusters(edges)
    order = np.lexsort((np.arange(len(clusters)), clusters))
    across = np.ix_(order, order)
    return UserGraph(history.cpu().numpy()[order], order, clusters[order], similarity[across], edges[across])


def find_clusters(edges: np.ndarray) -> np.ndarray:
    """Communities of an undirected graph by greedy modularity (Clauset, Newman, Moore 2004).

    Starting from single nodes, the two communities whose union raises modularity most are united until none does.

    Args:
        edges: bool [n, n], symmetric; self-loops do not count.

    Returns:
        int64 [n], numbered from the largest community on, equal sizes by their first node.
    """
    adjacency = edges.astype(float)
    np.fill_diagonal(adjacency, 0)
    degree = adjacency.sum(1)
    members = [[node] for node in range(len(edges))]
    if degree.sum() > 0:
        gain = adjacency - np.outer(degree, degree) / degree.sum()
        while len(members) > 1:
            np.fill_diagonal(gain, -np.inf)
            first, second = sorted(divmod(int(gain.argmax()), len(members)))
            if gain[first, second] <= 1e-9:
                break
            members[first] += members.pop(second)
            gain[first] += gain[second]
            gain[:, first] += gain[:, second]
            gain = np.delete(np.delete(gain, second, 0), second, 1)
    found = np.empty(len(edges), dtype=np.int64)
    for number, nodes in enumerate(sorted(members, key=lambda nodes: (-len(nodes), min(nodes)))):
        found[nodes] = number
    return found


def draw_user(model: Recommender, history: torch.Tensor, names: Sequence[str]) -> go.Figure:
    """The picture of a history, int64 [n]; ``names`` are its items'."""
    assert isinstance(model, Surge)
    graph = interest_graph(model, history)
    return draw(graph, [names[place] for place in graph.places])


def draw(graph: UserGraph, names: Sequence[str]) -> go.Figure:
    """The picture; ``names`` are the items' in the order of ``graph.items``."""
    figure = make_subplots(
        cols=2,
        column_titles=[
            f"{len(graph.items)} items in {int(graph.clusters.max()) + 1} clusters",
            "Similarity of linked items",
        ],
    )
    angle = 2 * np.pi * np.arange(len(names)) / len(names)
    x, y = np.cos(angle), np.sin(angle)
    for trace in _edge_traces(graph, x, y):
        figure.add_trace(trace, row=1, col=1)
    palette = qualitative.Plotly
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="markers",
            marker={"size": 13, "color": [palette[number % len(palette)] for number in graph.clusters]},
            text=[
                f"{name}<br>cluster {cluster + 1}, item {place + 1} of the history"
                for name, cluster, place in zip(names, graph.clusters, graph.places, strict=True)
            ],
            hoverinfo="text",
            showlegend=False,
        ),
        row=1,
        col=1,
    )
    figure.add_trace(_matrix(graph, names), row=1, col=2)
    blank = {"visible": False}
    bare = {"showticklabels": False, "showgrid": False, "zeroline": False}
    figure.update_layout(
        template="plotly_white",
        xaxis=blank,
        yaxis={**blank, "scaleanchor": "x"},
        xaxis2={**bare, "constrain": "domain"},
        yaxis2={**bare, "constrain": "domain", "autorange": "reversed", "scaleanchor": "x2"},
    )
    return figure


def _edge_traces(graph: UserGraph, x: np.ndarray, y: np.ndarray) -> list[go.Scatter]:
    """One trace of line pieces for each shade, weakest first, so that strong edges lie on top."""
    row, column = np.triu(graph.edges, 1).nonzero()
    weight = graph.similarity[row, column]
    order = np.argsort(weight, kind="stable")[-_MOST_EDGES:]
    traces = []
    for number, part in enumerate(np.array_split(order, _SHADES)):
        gap = np.full(len(part), np.nan)
        share = (number + 1) / _SHADES
        traces.append(
            go.Scatter(
                x=np.stack([x[row[part]], x[column[part]], gap], 1).ravel(),
                y=np.stack([y[row[part]], y[column[part]], gap], 1).ravel(),
                mode="lines",
                line={"width": 0.4 + 1.6 * share, "color": f"rgba(110, 125, 180, {0.15 + 0.6 * share:.2f})"},
                hoverinfo="skip",
                showlegend=False,
            )
        )
    return traces


def _matrix(graph: UserGraph, names: Sequence[str]) -> go.Heatmap:
    shown = np.where(graph.edges, graph.similarity, np.nan)
    text = [[f"{one}<br>{other}" for other in names] for one in names]
    return go.Heatmap(
        z=shown,
        text=text,
        hovertemplate="%{text}<br>similarity %{z:.2f}<extra></extra>",
        colorscale="Blues",
        zmax=1,
        colorbar={"title": "similarity"},
        hoverongaps=False,
    )
