"""The generated data set is a function of its seed, and what comes next can be learned from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.config import load_config
from model.data import load_dataset, synthetic
from model.data.reading import find_files, read_tables
from model.evaluation import evaluate
from model.registry import get_model
from model.run import start_run


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    first, again, other = (
        {file.name: file.read_bytes() for file in synthetic.write(tmp_path / name, "d", seed=seed).iterdir()}
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again
    assert set(first) == {"d.inter", "d.item"}
    assert first["d.inter"] != other["d.inter"]


def test_sizes_are_those_asked_for(tmp_path: Path) -> None:
    synthetic.write(tmp_path, "d", users=40, items=20, classes=4, events=12)
    config = load_config("S3Rec", "d", config_dict={"data_path": str(tmp_path)})
    dataset = load_dataset(config)
    assert (dataset.user_num, dataset.item_num) == (41, 21)
    tables, _ = read_tables(find_files(config), config)
    assert 11 < len(tables["inter"].frame) / 40 < 13
    assert dataset.item_attributes("class").num - 1 == 4 + 2  # four classes; even and odd items


@pytest.mark.parametrize("sizes", [{"items": 3, "classes": 4}, {"users": 0}, {"events": 0}])
def test_sizes_that_make_no_data_set_are_refused(tmp_path: Path, sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="too few"):
        synthetic.write(tmp_path, "d", **sizes)
    assert list(tmp_path.iterdir()) == []


def test_a_small_model_beats_popularity_in_a_few_epochs(tmp_path: Path) -> None:
    synthetic.write(tmp_path, "d")
    settings = {
        "data_path": str(tmp_path),
        "hidden_size": 32,
        "n_layers": 1,
        "MAX_ITEM_LIST_LENGTH": 20,
        "train_batch_size": 128,
        "learning_rate": 0.003,
        "hidden_dropout_prob": 0.2,
        "epochs": 3,
        "valid_metric": "NDCG@10",
    }
    config = load_config("S3Rec", "d", config_dict=settings).for_stage("finetune")
    dataset = load_dataset(config)
    run = start_run(get_model("S3Rec"), "finetune", config, dataset)
    while not run.finished:
        run.run_epoch()
    counting = load_config("Popularity", "d", config_dict={"data_path": str(tmp_path)})
    baseline = evaluate(get_model("Popularity").build(counting, dataset), dataset, "test", counting, 0)
    assert baseline is not None
    learned = run.result().test_result
    assert learned is not None
    assert learned["ndcg@10"] > 3 * baseline["ndcg@10"]
