"""Prepared data sets: the same bits, made once, and never believed when they are damaged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.config import Config, load_config
from model.data import Ragged, SequentialDataset, load_dataset, prepared, synthetic
from model.data.prepared import load_prepared
from model.errors import DataError

MUCH = 1e9
Read = Callable[..., SequentialDataset]


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Config]:
    synthetic.write(tmp_path, "d", users=30, items=20, classes=4, events=8, seed=1)

    def make(model: str = "S3Rec", **changes: Any) -> Config:
        return load_config(model, "d", config_dict={"data_path": str(tmp_path), "load_col": None, **changes})

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "prepared"


@pytest.fixture
def preparations(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations whose files were really read."""
    read: list[Config] = []

    def counted(config: Config, *others: Any) -> SequentialDataset:
        read.append(config)
        return load_dataset(config, *others)

    monkeypatch.setattr(prepared, "load_dataset", counted)
    return read


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.pt"))


def flat(dataset: SequentialDataset) -> dict[str, Any]:
    """Everything in the data set, tensors and texts, by where it is."""
    found: dict[str, Any] = {}
    for name, value in vars(dataset).items():
        inner = value if isinstance(value, dict) else vars(value) if name in ("train", "valid", "test") else {"": value}
        for key, part in inner.items():
            parts = vars(part) if isinstance(part, Ragged) else {"": part}
            found |= {f"{name}/{key}/{last}": item for last, item in parts.items()}
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"MAX_ITEM_LIST_LENGTH": 3},
        {"model": "SURGE"},
        {"user_inter_num_interval": "[6,inf)", "normalize_all": True},
    ],
)
def test_prepared_data_is_the_same_to_the_bit(
    config: Callable[..., Config], folder: Path, preparations: list[Config], changes: dict[str, Any]
) -> None:
    wanted = flat(load_dataset(config(**changes)))
    for _ in range(2):
        found = flat(load_prepared(config(**changes), folder, MUCH))
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            if isinstance(value, torch.Tensor):
                assert found[name].dtype == value.dtype, name
                assert torch.equal(found[name], value), name
            else:
                assert found[name] == value, name
    assert len(preparations) == 1


def test_what_shapes_the_data_makes_another_entry_and_what_does_not_shares_one(
    config: Callable[..., Config], folder: Path, preparations: list[Config]
) -> None:
    for changes in ({}, {"learning_rate": 0.1}, {"seed": 7}, {"hidden_size": 8, "metrics": ["NDCG"]}):
        load_prepared(config(**changes), folder, MUCH)
    assert len(preparations) == len(entries(folder)) == 1
    load_prepared(config(MAX_ITEM_LIST_LENGTH=5), folder, MUCH)
    assert len(preparations) == len(entries(folder)) == 2


def test_a_changed_file_is_read_again(
    config: Callable[..., Config], folder: Path, tmp_path: Path, preparations: list[Config]
) -> None:
    before = load_prepared(config(), folder, MUCH)
    file = tmp_path / "d" / "d.inter"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]) + "\n")
    after = load_prepared(config(), folder, MUCH)
    assert len(preparations) == 2
    assert before.fingerprint != after.fingerprint


@pytest.mark.parametrize("damage", ["cut", "emptied", "exchanged", "something else", "a flipped bit"])
def test_a_damaged_entry_is_prepared_again(
    config: Callable[..., Config], folder: Path, preparations: list[Config], damage: str
) -> None:
    load_prepared(config(), folder, MUCH)
    (path,) = entries(folder)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "exchanged":
        torch.save({"fingerprint": "of another"}, path)
    elif damage == "a flipped bit":
        content = bytearray(path.read_bytes())
        # It makes an item of another one, which nothing but a checksum can notice.
        content[content.index(load_dataset(config()).train.items.numpy().tobytes()) + 100] ^= 1
        path.write_bytes(content)
    else:
        path.write_text("import os")
    again = load_prepared(config(), folder, MUCH)
    assert len(preparations) == 2
    assert torch.equal(again.train.items, load_dataset(config()).train.items)


def test_writing_into_mapped_data_changes_nobody_elses(config: Callable[..., Config], folder: Path) -> None:
    load_prepared(config(), folder, MUCH)
    mine, theirs = (load_prepared(config(), folder, MUCH) for _ in range(2))
    before = theirs.train.target.clone()
    mine.train.target.fill_(3)
    assert torch.equal(theirs.train.target, before)
    assert torch.equal(load_prepared(config(), folder, MUCH).train.target, before)


def test_the_least_recently_used_goes_first(config: Callable[..., Config], folder: Path) -> None:
    for age, length in enumerate((3, 4, 5)):
        load_prepared(config(MAX_ITEM_LIST_LENGTH=length), folder, MUCH)
        for path in entries(folder):
            os.utime(path, (path.stat().st_mtime - 100 + age,) * 2)
    load_prepared(config(MAX_ITEM_LIST_LENGTH=3), folder, MUCH)  # used again
    size = max(path.stat().st_size for path in entries(folder))
    before = set(entries(folder))
    load_prepared(config(MAX_ITEM_LIST_LENGTH=3), folder, 2.5 * size)
    (gone,) = before - set(entries(folder))
    kept = load_prepared(config(MAX_ITEM_LIST_LENGTH=5), folder, 2.5 * size)
    assert len(entries(folder)) == 2
    assert not gone.exists()
    assert int(kept.train.length.max()) == 5


def test_where_nothing_can_be_written_the_data_is_read_directly(
    config: Callable[..., Config], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    dataset = load_prepared(config(), tmp_path / "file" / "prepared", MUCH)
    assert dataset.item_num == 21
    assert "can't be kept here" in caplog.text


def test_bad_data_is_an_error_and_leaves_nothing(config: Callable[..., Config], folder: Path) -> None:
    with pytest.raises(DataError):
        load_prepared(config(user_inter_num_interval="[99,inf)"), folder, MUCH)
    assert entries(folder) == []
    assert list(folder.glob(".*.tmp")) == []


def test_processes_that_start_together_prepare_once(
    config: Callable[..., Config], folder: Path, tmp_path: Path
) -> None:
    script = (
        "import sys, logging\n"
        "from pathlib import Path\n"
        "from model.config import load_config\n"
        "from model.data import prepared\n"
        "read = prepared.load_dataset\n"
        "def counted(config, *others):\n"
        "    print('prepared')\n"
        "    return read(config, *others)\n"
        "prepared.load_dataset = counted\n"
        "config = load_config('S3Rec', 'd', config_dict={'data_path': sys.argv[1], 'load_col': None})\n"
        "data = prepared.load_prepared(config, Path(sys.argv[2]), 1e9)\n"
        "print(int(data.train.items.sum()))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), str(folder)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = [process.communicate(timeout=60)[0].split() for process in running]
    assert sorted(len(lines) for lines in printed) == [1, 1, 2]
    assert {lines[-1] for lines in printed} == {str(int(load_dataset(config()).train.items.sum()))}


def test_what_a_killed_process_left_half_written_is_removed(config: Callable[..., Config], folder: Path) -> None:
    load_prepared(config(), folder, MUCH)
    (path,) = entries(folder)
    left = folder / f".{path.name}-123-abcd.tmp"
    left.touch()
    path.unlink()
    load_prepared(config(), folder, MUCH)
    assert not left.exists()
