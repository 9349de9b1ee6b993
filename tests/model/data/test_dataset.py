"""Data sets come out as RecBole's do: ids, features, samples and splits of every golden variant."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.config import Config, load_config
from model.data import Ragged, Samples, SequentialDataset, load_dataset
from model.data.reading import find_files, read_tables
from model.errors import AttributeColumnMissing, DataError

GOLDEN = Path(__file__).parents[2] / "golden"
TINY = json.loads((GOLDEN / "dataset_tiny.json").read_text())
# RecBole leaves the order of equal times to the processor in these; they have twins with distinct times.
VARIANTS = [name for name, variant in TINY["variants"].items() if "cpu_dependent" not in variant]


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest, tiny_config: Callable[..., Config]) -> tuple[SequentialDataset, Any]:
    wanted = TINY["variants"][request.param]
    return load_dataset(tiny_config(wanted["dataset"], **wanted["overrides"])), wanted


def rows(samples: Samples, width: int) -> list[list[Any]]:
    everything = torch.arange(len(samples))
    histories = samples.padded(everything, width).tolist() if len(samples) else []
    columns = zip(
        samples.user.tolist(), histories, samples.length.tolist(), samples.target.tolist(), samples.time.tolist(),
        strict=True,
    )  # fmt: skip
    return [list(row) for row in columns]


def test_ids_are_those_of_the_peer(variant: tuple[SequentialDataset, Any]) -> None:
    dataset, wanted = variant
    assert {name: list(dataset.tokens[name]) for name in wanted["field2id_token"]} == wanted["field2id_token"]
    assert (dataset.user_num, dataset.item_num) == (wanted["user_num"], wanted["item_num"])


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_samples_are_those_of_the_peer(variant: tuple[SequentialDataset, Any], split: str) -> None:
    dataset, wanted = variant
    width = len(wanted["train"][0][1])
    ours = rows(getattr(dataset, split), width)
    assert [row[:4] for row in ours] == [row[:4] for row in wanted[split]]
    assert [row[4] for row in ours] == pytest.approx([row[4] for row in wanted[split]], rel=1e-6, abs=1e-6)


def test_item_features_are_those_of_the_peer(variant: tuple[SequentialDataset, Any]) -> None:
    dataset, wanted = variant
    for name, values in wanted.get("item_feat", {}).items():
        feature = dataset.item_features[name]
        ours = feature.padded() if isinstance(feature, Ragged) else feature
        assert torch.allclose(ours.double(), torch.tensor(values).double(), atol=1e-5), name


def test_the_filtered_interactions_are_those_of_the_peer(
    variant: tuple[SequentialDataset, Any], tiny_config: Callable[..., Config]
) -> None:
    _, wanted = variant
    config = tiny_config(wanted["dataset"], **wanted["overrides"])
    inter = read_tables(find_files(config), config)[0]["inter"].frame
    assert inter[["user_id", "item_id"]].to_numpy().tolist() == [row[:2] for row in wanted["filtered_inter"]]


@pytest.mark.parametrize(("variant_name", "changes"), [("default", {}), ("normalize_all", {"normalize_all": True})])
def test_times_are_compared_in_float32_as_by_the_peer(
    golden: Callable[[str], Any], tiny_config: Callable[..., Config], variant_name: str, changes: dict[str, Any]
) -> None:
    wanted = golden("dataset_float32_timestamps")["variants"][variant_name]
    columns = {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}}
    dataset = load_dataset(tiny_config("bigts", **columns, **changes))
    users, items = dataset.tokens["user_id"], dataset.tokens["item_id"]
    for split in ("train", "valid", "test"):
        ours = [
            [users[user], [items[item] for item in history if item], items[target]]
            for user, history, _, target, _ in rows(getattr(dataset, split), 8)
        ]
        assert ours == [row[:3] for row in wanted[split]]


@pytest.mark.parametrize("name", ["alias", "alias_seqlen3", "kcore_ignored"])
def test_benchmark_files_are_taken_as_they_are(golden: Callable[[str], Any], name: str) -> None:
    wanted = golden("dataset_benchmark")["runs"][name]
    settings = {
        "data_path": str(GOLDEN),
        "benchmark_filename": ["train", "valid", "test"],
        "USER_ID_FIELD": "session_id",
        "load_col": None,
        "alias_of_item_id": ["item_id_list"],
        **wanted["overrides"],
    }
    dataset = load_dataset(load_config("S3Rec", "bench", config_dict=settings))
    assert list(dataset.tokens["item_id"]) == wanted["field2id_token"]["item_id"]
    for split in ("train", "valid", "test"):
        width = len(wanted[split][0][1])
        assert [row[:4] for row in rows(getattr(dataset, split), width)] == wanted[split]


def test_a_history_without_an_alias_is_refused(golden: Callable[[str], Any]) -> None:
    settings = {
        "data_path": str(GOLDEN),
        "benchmark_filename": ["train", "valid", "test"],
        "USER_ID_FIELD": "session_id",
        "load_col": None,
    }
    with pytest.raises(DataError, match="alias_of_item_id"):
        load_dataset(load_config("S3Rec", "bench", config_dict=settings))


def test_the_time_column_is_loaded_though_load_col_forgets_it(tiny_config: Callable[..., Config]) -> None:
    config = tiny_config(load_col={"inter": ["user_id", "item_id"]})
    assert config["load_col"]["inter"] == ["user_id", "item_id", "timestamp"]
    assert len(load_dataset(config).train) == TINY["variants"]["N_inter_only"]["n_train"]


def test_attributes_are_loaded_when_nobody_says_which_columns(small_dataset: SequentialDataset) -> None:
    attributes = small_dataset.item_attributes("class")
    assert attributes.multi_hot().shape == (small_dataset.item_num, attributes.num - 1)
    assert (attributes.multi_hot()[1:].sum(1) == 2).all()


def test_a_missing_value_of_a_single_attribute_sets_the_last_one_as_in_the_peer(
    golden: Callable[[str], Any], tiny_config: Callable[..., Config]
) -> None:
    wanted = golden("trajectories")["single_token_attribute"]
    dataset = load_dataset(tiny_config())
    items = torch.tensor(wanted["item_id_list"][0][:4])
    kept = dataset.item_attributes(wanted["item_attribute"]).multi_hot()
    corrected = dataset.item_attributes(wanted["item_attribute"], missing_sets_last=False).multi_hot()
    assert kept[items].tolist() == wanted["features_last_4_positions"]
    assert corrected[items].tolist() == [[0, 0, 0], *wanted["features_last_4_positions"][1:]]


def test_a_missing_attribute_column_is_named_with_what_there_is(tiny_config: Callable[..., Config]) -> None:
    dataset = load_dataset(tiny_config())
    with pytest.raises(AttributeColumnMissing, match=r"'genre'.*tiny\.item.*class, release_year.*load_col"):
        dataset.item_attributes("genre")


def test_the_fingerprint_follows_content_and_data_settings_only(
    tiny_config: Callable[..., Config], tmp_path: Path
) -> None:
    here = load_dataset(tiny_config()).fingerprint
    assert load_dataset(tiny_config(learning_rate=0.5, seed=7)).fingerprint == here
    assert load_dataset(tiny_config(MAX_ITEM_LIST_LENGTH=5)).fingerprint != here
    folder = tmp_path / "tiny"
    folder.mkdir()
    for path in (GOLDEN / "tiny").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    assert load_dataset(tiny_config(data_path=str(tmp_path))).fingerprint == here
    with (folder / "tiny.inter").open("a") as file:
        file.write("u01\ti01\t3\t1009999\n")
    assert load_dataset(tiny_config(data_path=str(tmp_path))).fingerprint != here


def test_filters_that_leave_nothing_are_named(tiny_config: Callable[..., Config]) -> None:
    with pytest.raises(DataError, match="user_inter_num_interval"):
        load_dataset(tiny_config(user_inter_num_interval="[100,inf)"))


def test_a_filter_on_an_unknown_column_names_the_loaded_ones(tiny_config: Callable[..., Config]) -> None:
    with pytest.raises(DataError, match=r"'stars'.*rating"):
        load_dataset(tiny_config(val_interval={"stars": "[3,inf)"}))
