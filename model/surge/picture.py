"""The interest graph of one user as a picture.

    python -m model.surge.picture saved/SURGE.pth --user 196 --label movie_title --output graph.html

Left, the items on a circle, neighbours in the circle being of one cluster, with an arc for every edge, the darker the
more similar; right, the same as a matrix, in which clusters are blocks.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.colors import qualitative
from plotly.subplots import make_subplots

from model.checkpoint import load_checkpoint, load_weights
from model.config import Config
from model.data import Ragged, SequentialDataset, load_dataset
from model.errors import DataError, ModelError
from model.run import items_digest
from model.surge.recommender import Surge, build

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


def draw(graph: UserGraph, names: Sequence[str], title: str) -> go.Figure:
    """The picture; ``names`` are the items' in the order of ``graph.items``."""
    figure = make_subplots(cols=2, column_titles=["Items and edges", "Similarity of linked items"])
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
        title=title,
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
                line={"width": 0.4 + 1.6 * share, "color": f"rgba(60, 70, 110, {0.1 + 0.5 * share:.2f})"},
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


def picture_of_user(model: Surge, dataset: SequentialDataset, config: Config, user: str, label: str = "") -> go.Figure:
    """The graph of a user's history before the test item.

    Args:
        user: the user's id as in the data file.
        label: item column with names to show; item ids if empty.

    Raises:
        DataError: there is no such user, or no such column.
    """
    tokens = dataset.tokens[config["USER_ID_FIELD"]]
    rows = (dataset.test.user == (tokens.index(user) if user in tokens else -1)).nonzero()[:, 0]
    if user not in tokens or not len(rows):
        some = ", ".join(tokens[int(number)] for number in dataset.test.user[:3])
        raise DataError(f"user {user!r}: {dataset.name} has no such user with enough interactions; try e.g. {some}.")
    length = int(dataset.test.lengths(rows[:1]))
    graph = interest_graph(model, dataset.test.padded(rows[:1], length)[0])
    names = _names(dataset, config, label)
    number = int(graph.clusters.max()) + 1
    title = f"Interest graph of user {user}: {len(graph.items)} items, {number} clusters ({dataset.name})"
    return draw(graph, [names[item] for item in graph.items], title)


def _names(dataset: SequentialDataset, config: Config, label: str) -> list[str]:
    """What to call each item."""
    if not label:
        return list(dataset.tokens[config["ITEM_ID_FIELD"]])
    column = dataset.item_features.get(label)
    if column is None or label not in dataset.tokens:
        known = ", ".join(name for name in dataset.item_features if name in dataset.tokens)
        raise DataError(f"label {label!r}: {dataset.item_file} has no text column of that name; there are: {known}.")
    words = dataset.tokens[label]
    if not isinstance(column, Ragged):
        return [words[int(value)] for value in column]
    values, ends = column.values.tolist(), column.offsets.tolist()
    return [" ".join(words[value] for value in values[start:end]) for start, end in pairwise(ends)]


def open_model(path: Path, data_path: str | None = None, label: str = "") -> tuple[Surge, SequentialDataset, Config]:
    """The model of a checkpoint with its data set.

    Args:
        data_path: where the data is now, if not where it was in training.
        label: an item column to load besides those of training.

    Raises:
        ModelError: the checkpoint or the data can't be used.
    """
    content = load_checkpoint(path)
    given = dict(content.get("config") or {})
    if given.pop("model", None) != "SURGE":
        raise DataError(f"{path}: is no checkpoint of SURGE.")
    dataset_name = given.pop("dataset")
    if data_path is not None:
        given["data_path"] = data_path
    config = Config("SURGE", dataset_name, given)
    if label and config["load_col"] is not None:
        columns = dict(config["load_col"])
        listed = columns.get("item", [config["ITEM_ID_FIELD"]])
        columns["item"] = listed if listed == "*" else [*dict.fromkeys([*listed, label])]
        config = config.replace({"load_col": columns})
    dataset = load_dataset(config)
    model = build(config, dataset)
    load_weights(model, content, path, config, items_digest(dataset, config))
    return model, dataset, config


def save_html(figure: go.Figure, path: Path) -> None:
    """Write a page that needs no network; it appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(figure.to_html(include_plotlyjs=True))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 2 for bad input, with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m model.surge.picture", description="Draw a user's interest graph.")
    parser.add_argument("checkpoint", type=Path, help="a SURGE checkpoint")
    parser.add_argument("--user", required=True, help="the user's id as in the data file")
    parser.add_argument("--label", default="", help="item column with names, e.g. movie_title")
    parser.add_argument("--data-path", help="folder of the data sets, if it has moved since training")
    parser.add_argument("--output", type=Path, default=Path("graph.html"))
    given = parser.parse_args(arguments)
    try:
        model, dataset, config = open_model(given.checkpoint, given.data_path, given.label)
        save_html(picture_of_user(model, dataset, config, given.user, given.label), given.output)
    except (ModelError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{given.output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
