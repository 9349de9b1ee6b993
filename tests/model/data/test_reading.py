"""The fingerprint of a data set has everything that shapes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.config import Config
from model.data import SequentialDataset, load_dataset
from model.data.reading import find_files, fingerprint
from model.defaults import DATA, SEQUENTIAL_EVAL_ARGS

GOLDEN = Path(__file__).parents[2] / "golden"
# Another value for every key of DATA; a new key needs one here.
OTHER: dict[str, Any] = {
    "encoding": "utf-8",
    "field_separator": ",",
    "seq_separator": ";",
    "USER_ID_FIELD": "item_id",
    "ITEM_ID_FIELD": "user_id",
    "TIME_FIELD": "rating",
    "LIST_SUFFIX": "_history",
    "MAX_ITEM_LIST_LENGTH": 3,
    "seq_len": {"class": 1},
    "load_col": {"inter": ["user_id", "item_id", "rating"]},
    "unload_col": {"user": ["age"]},
    "unused_col": {"item": ["class"]},
    "rm_dup_inter": "first",
    "val_interval": {"rating": "[2,inf)"},
    "filter_inter_by_user_or_item": False,
    "user_inter_num_interval": "[2,inf)",
    "item_inter_num_interval": "[2,inf)",
    "alias_of_user_id": ["user_id"],
    "alias_of_item_id": ["item_id"],
    "normalize_field": ["rating"],
    "normalize_all": True,
    "benchmark_filename": ["train", "valid", "test"],
}
OTHER_EVAL_ARGS: dict[str, Any] = {"split": {"RS": [8, 1, 1]}, "group_by": "none"}
# There is no second value: sequential models need this order.
FIXED = {"order"}


def fingerprint_of(config: Config) -> str:
    # The files of one configuration under another: only the configuration differs.
    files = find_files(config.replace({"benchmark_filename": None, "load_col": None}))
    return fingerprint(files, config)


@pytest.mark.parametrize("key", [parameter.name for parameter in DATA if parameter.name != "data_path"])
def test_every_key_that_shapes_the_data_is_in_it(tiny_config: Callable[..., Config], key: str) -> None:
    before, after = tiny_config(), tiny_config(**{key: OTHER[key]})
    assert before[key] != after[key]
    assert fingerprint_of(before) != fingerprint_of(after)


@pytest.mark.parametrize("key", sorted({*SEQUENTIAL_EVAL_ARGS} - FIXED - {"mode"}))
def test_the_split_is_in_it(tiny_config: Callable[..., Config], key: str) -> None:
    base = {"split": {"RS": [6, 2, 2]}}
    before = tiny_config(eval_args=base)
    after = tiny_config(eval_args=base | {key: OTHER_EVAL_ARGS[key]})
    assert fingerprint_of(before) != fingerprint_of(after)


def test_what_is_ranked_and_where_files_lie_is_not(tiny_config: Callable[..., Config], tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    for file in (GOLDEN / "tiny").iterdir():
        (tmp_path / "tiny" / file.name).write_bytes(file.read_bytes())
    before = fingerprint_of(tiny_config())
    assert fingerprint_of(tiny_config(eval_args={"mode": "uni9"}, data_path=str(tmp_path))) == before
    (tmp_path / "tiny" / "tiny.item").write_text("item_id:token\n")
    assert fingerprint_of(tiny_config(data_path=str(tmp_path))) != before


class Watched(Config):
    """Notes which keys are read."""

    read: set[str]

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)


@pytest.mark.parametrize(
    "changes",
    [{}, {"eval_args": {"split": {"TS": [8, 1, 1]}}}, {"rm_dup_inter": "last", "val_interval": {"rating": "[1,inf)"}}],
)
def test_loading_reads_no_other_key(tiny_config: Callable[..., Config], changes: dict[str, Any]) -> None:
    Watched.read = set()
    load_dataset(Watched("S3Rec", "tiny", tiny_config(**changes).given))
    assert Watched.read <= {parameter.name for parameter in DATA} | {"eval_args"}


def ranked(dataset: SequentialDataset) -> tuple[Any, ...]:
    parts = [(part.user.tolist(), part.target.tolist()) for part in (dataset.train, dataset.valid, dataset.test)]
    return parts, dataset.tokens["item_id"], dataset.tokens["user_id"]


@pytest.mark.parametrize("key", [parameter.name for parameter in DATA if not parameter.measures])
def test_keys_that_may_be_searched_leave_what_is_ranked_as_it_is(tiny_config: Callable[..., Config], key: str) -> None:
    before, after = load_dataset(tiny_config()), load_dataset(tiny_config(**{key: OTHER[key]}))
    assert ranked(before) == ranked(after)
