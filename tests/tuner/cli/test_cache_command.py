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


def test_every_checkpoint_can_be_verified(tuner: Tuner, study: Path, home: Path) -> None:
    assert tuner("run", study).code == 0
    whole = tuner("cache", "verify")
    assert (whole.code, whole.out.strip().rpartition(": ")[2]) == (0, "all are as they were written.")
    one, other = sorted((home / "artifacts").glob("stages/*/*.pth"))
    (own,) = (home / "artifacts").glob("studies/*/trials/*/*.pth")
    for path in (one, own):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    other.unlink()

    found = json.loads(tuner("cache", "verify", "--json").out)
    assert found["checkpoints"] == 3
    assert {Path(damaged["path"]) for damaged in found["damaged"]} == {one, other, own}
    assert all(
        "is not as it was written" in each["problem"] or "is not there" in each["problem"] for each in found["damaged"]
    )
    assert not one.exists()
    assert not own.exists()
    assert len(list((home / "artifacts" / "damaged").iterdir())) == 2

    again = tuner("cache", "verify")
    assert (again.code, again.out.strip()) == (0, "0 checkpoints, 0 bytes: all are as they were written.")
    events = json.loads(tuner("study", "events", "toy-study", "--json").out)
    assert "damaged" in {event["kind"] for event in events}


def test_what_is_damaged_is_said_and_is_exit_code_1(tuner: Tuner, study: Path, home: Path) -> None:
    assert tuner("run", study).code == 0
    path = min((home / "artifacts").glob("stages/*/*.pth"))
    path.write_text("hello")
    said = tuner("cache", "verify")
    assert said.code == 1
    assert f"{path}: is not as it was written" in said.out
    assert "damaged/stages-" in said.out
    assert said.out.strip().endswith("1 damaged or missing.")


def test_another_artifact_folder_is_refused_until_it_is_adopted(
    tuner: Tuner, study: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tuner("run", study).code == 0
    monkeypatch.setenv("TUNER_ARTIFACT_ROOT", str(home / "other"))
    before = json.loads(tuner("cache", "ls", "--json").out)
    for command in (
        *(("worker", "--exit_when_idle"), ("run", study), ("serve", "--port", 0)),
        *(("cache", "prune", "--yes"), ("cache", "verify"), ("study", "delete", "toy-study", "--yes")),
    ):
        refused = tuner(*command)
        assert refused.code == 2, command
        assert "the artifact folder is not that of this database" in refused.err
    assert json.loads(tuner("cache", "ls", "--json").out) == before
    assert tuner("study", "show", "toy-study").code == 0
    assert tuner("cache", "adopt", "--yes").code == 0
    assert tuner("worker", "--exit_when_idle").code == 0
