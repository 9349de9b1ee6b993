"""Files appear whole or not at all, whoever writes them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from model.tensor_files import save_whole
from model.whole_files import whole_file


def fill(path: Path) -> None:
    with whole_file(path) as file:
        file.write(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_that_can_not_be_finished_leaves_the_one_before_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "text"
    with whole_file(path) as file:
        file.write(b"whole")
    with pytest.raises(OSError, match="No space left"):
        fill(path)
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_what_may_not_be_announced_does_not_appear(tmp_path: Path) -> None:
    said: list[str] = []

    def refuse(sha256: str) -> None:
        said.append(sha256)
        raise PermissionError("somebody else's by now")

    with pytest.raises(PermissionError):
        save_whole(tmp_path / "folder" / "file", {"epoch": 1}, refuse)
    assert [len(digest) for digest in said] == [64]
    assert list((tmp_path / "folder").iterdir()) == []
