"""The picture of a user's graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.config import load_config
from model.data import load_dataset, synthetic
from model.pictures import main, restore
from model.registry import get_model
from model.run import start_run
from model.surge.picture import draw, find_clusters, interest_graph


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("picture")
    synthetic.write(folder, users=30, items=24, classes=4, events=12, seed=5)
    values = {
        "data_path": str(folder),
        "embedding_size": 8,
        "pool_length": 4,
        "MAX_ITEM_LIST_LENGTH": 12,
        "epochs": 1,
        "use_gpu": False,
    }
    config = load_config("SURGE", "synthetic", config_dict=values)
    run = start_run(get_model("SURGE"), "train", config, load_dataset(config))
    run.run_epoch()
    run.save(folder / "SURGE.pth")
    return folder / "SURGE.pth"


def test_clusters_are_the_blocks_of_the_graph() -> None:
    block = np.array([0, 1, 0, 2, 1, 0, 2, 0])
    edges = block[:, None] == block
    edges[0, 1] = edges[1, 0] = True
    assert find_clusters(edges).tolist() == block.tolist()


def test_nodes_without_edges_are_clusters_of_their_own() -> None:
    assert find_clusters(np.eye(3, dtype=bool)).tolist() == [0, 1, 2]


def test_the_graph_is_sorted_by_cluster_and_keeps_its_edges(checkpoint: Path) -> None:
    restored = restore(checkpoint)
    model, dataset = restored.model, restored.dataset
    history = dataset.test.padded(torch.tensor([3]), int(dataset.test.length[3]))[0]
    graph = interest_graph(model, history)
    assert (np.diff(graph.clusters) >= 0).all()
    assert sorted(graph.items.tolist()) == sorted(history.tolist())
    assert history[graph.places].tolist() == graph.items.tolist()
    with torch.no_grad():
        edges = model.network.context(history[None], torch.tensor([len(history)])).graph.edges[0]
    assert (graph.edges == edges.numpy()[np.ix_(graph.places, graph.places)]).all()
    figure = draw(graph, [str(item) for item in graph.items])
    lines = figure.select_traces(selector={"type": "scatter", "mode": "lines"})
    drawn = sum(np.isnan(np.asarray(trace.x, dtype=float)).sum() for trace in lines)
    assert drawn == np.triu(graph.edges, 1).sum()


def test_the_command_writes_a_page_that_needs_no_network(checkpoint: Path, tmp_path: Path, capsys) -> None:
    page = tmp_path / "graph.html"
    assert main([str(checkpoint), "--user", "u3", "--label", "class", "--output", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "Interest graph of user u3" in text
    assert 'src="http' not in text
    assert [path.name for path in tmp_path.iterdir()] == ["graph.html"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--user", "nobody"], "has no such user"),
        (["--user", "u3", "--label", "color"], "color"),
        (["--user", "u3", "--data-path", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_explained_and_nothing_is_written(
    checkpoint: Path, tmp_path: Path, capsys, arguments: list[str], reason: str
) -> None:
    page = tmp_path / "graph.html"
    assert main([str(checkpoint), *arguments, "--output", str(page)]) == 2
    assert reason in capsys.readouterr().err
    assert not page.exists()


def test_every_user_can_be_drawn(checkpoint: Path) -> None:
    restored = restore(checkpoint)
    assert len(restored.users()) == 30
    for user in restored.users()[:6]:
        assert restored.draw(user).data


def test_items_are_called_by_the_column_of_names(checkpoint: Path) -> None:
    file = checkpoint.parent / "synthetic" / "synthetic.item"
    before = file.read_text()
    plain = restore(checkpoint)
    assert list(plain.item_names) == list(plain.dataset.tokens["item_id"])
    head, *lines = before.splitlines()
    file.write_text("\n".join([f"{head}\tfilm_title:token_seq", *(f"{line}\tNo {line.split()[0]}" for line in lines)]))
    try:
        restored = restore(checkpoint)
        named = {f"No {token}" for token in restored.dataset.tokens["item_id"][1:]}
        assert named == set(restored.item_names[1:])
    finally:
        file.write_text(before)


def test_the_best_epochs_weights_are_drawn(tmp_path: Path) -> None:
    synthetic.write(tmp_path, users=30, items=24, classes=4, events=12, seed=5)
    values = {"data_path": str(tmp_path), "embedding_size": 8, "pool_length": 4, "epochs": 12, "learning_rate": 0.05}
    config = load_config("SURGE", "synthetic", config_dict={**values, "use_gpu": False})
    run = start_run(get_model("SURGE"), "train", config, load_dataset(config))
    best: dict[str, torch.Tensor] = {}
    while not run.finished and (run.epoch == 0 or run.best_epoch == run.epoch):
        if run.run_epoch().improved:
            best = {name: value.clone() for name, value in run.model.state_dict().items()}
    assert 0 < run.best_epoch < run.epoch, "an epoch after the best one"
    run.save(tmp_path / "run.pth")
    for name, value in restore(tmp_path / "run.pth").model.state_dict().items():
        assert torch.equal(value, best[name]), name
