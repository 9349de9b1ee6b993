"""``tuner cache`` and ``tuner study stages`` after a real study."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from command_line import Tuner


def test_the_cache_is_seen_and_pruned_and_results_stay(tuner: Tuner, study: Path, home: Path) -> None:
    assert tuner("run", study).code == 0
    (stage,) = json.loads(tuner("study", "stages", "toy-study", "--json").out)
    assert (stage["epochs"], stage["repeated"], stage["trials_total"], stage["in_use"]) == (2, 0, 4, False)
    assert [file["epoch"] for file in stage["checkpoints"]] == [1, 2]
    files = list((home / "artifacts").glob("stages/*/*.pth"))
    assert sum(file.stat().st_size for file in files) == stage["size"]
    shown = tuner("cache", "ls").out
    assert stage["key"][:7] in shown
    assert "S3Rec pretrain on toy" in shown
    assert "2 checkpoints" in shown

    best = tuner("study", "show", "toy-study").out
    assert tuner("cache", "prune", "--keep-gb", 1).out.startswith("Nothing to delete")
    assert tuner("cache", "prune", "--yes").code == 0
    assert not any(file.exists() for file in files)
    (stage,) = json.loads(tuner("cache", "ls", "--json").out)
    assert (stage["epochs"], stage["checkpoints"], stage["size"]) == (2, [], 0)
    assert tuner("study", "show", "toy-study").out == best


def test_nothing_is_deleted_without_a_yes(
    tuner: Tuner, study: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert tuner("run", study).code == 0
    before = sorted((home / "artifacts").glob("stages/*/*.pth"))
    assert tuner("cache", "prune").code == 1
    assert sorted((home / "artifacts").glob("stages/*/*.pth")) == before


def test_an_empty_cache(tuner: Tuner) -> None:
    assert "0 checkpoints" in tuner("cache", "ls").out
    assert tuner("cache", "prune", "--yes").out.startswith("Nothing to delete")
    assert tuner("study", "stages", "nothing").code == 2
