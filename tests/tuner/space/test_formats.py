"""Files and formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tuner import space
from tuner.errors import SpaceError
from tuner.space import SearchSpace, SpaceFormat, SpaceParameter


def test_a_file_is_read_by_its_suffix(tmp_path: Path) -> None:
    text = tmp_path / "hyper.test"
    text.write_text("a choice [1, 2]\n")
    document = tmp_path / "space.json"
    document.write_text(json.dumps(space.load(text).to_json()))
    assert space.load(document) == space.load(text)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a choice ['\xff']\n", "not UTF-8"),
        (b"#" * 2_000_000, "bytes"),
    ],
)
def test_unreadable_content_is_a_space_error(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "hyper.test"
    path.write_bytes(content)
    with pytest.raises(SpaceError, match=problem) as caught:
        space.load(path)
    assert caught.value.file == str(path)


def test_missing_files_and_folders_are_space_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.test", tmp_path):
        with pytest.raises(SpaceError, match="params file"):
            space.load(path)


def test_broken_json_names_its_place(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_text('{\n "parameters": [}\n')
    with pytest.raises(SpaceError) as caught:
        space.load(path)
    assert (caught.value.line, caught.value.column) == (2, 17)


def test_a_format_is_one_registration() -> None:
    def one_name(text: str, _filename: str) -> SearchSpace:
        return SearchSpace((SpaceParameter(text.strip(), "choice", (1, 2)),))

    space.register(SpaceFormat("one_name", (".name",), one_name))
    assert space.parse("hidden_size", "x.name").names == ("hidden_size",)
    assert "one_name" in space.formats()
