"""Against the spaces that RecBole 1.2.1 builds from the same files (tests/golden/params_files.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tuner import space
from tuner.errors import SpaceError

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "params_files.json").read_text("utf-8"))
CASES: dict[str, dict[str, Any]] = {
    case["name"]: case for part in GOLDEN.values() if isinstance(part, list) for case in part
}

# Where RecBole drops lines or takes nonsense without a word; here it is read as meant, or an error.
READ_AS_MEANT = {"tabs", "tab_mixed", "two_tokens", "bom", "comment_choice"}
REFUSED = {
    "duplicates",
    "dup_diff_type",
    "empty",
    "only_comments",
    "empty_choice",
    "uniform_reversed",
    "name_with_equals",
}
# RecBole raises, and what was meant is plain.
MADE_TO_WORK = {"comments_blank", "trailing_comment_uniform", "double_space", "trailing_comma"}


def plain(option: Any) -> Any:
    """The golden files wrap values with their types, at every level."""
    if isinstance(option, dict) and set(option) == {"type", "value"}:
        return plain(option["value"])
    if isinstance(option, dict):
        return {key: plain(value) for key, value in option.items()}
    return [plain(member) for member in option] if isinstance(option, list) else option


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if "space" in c and n not in READ_AS_MEANT | REFUSED])
def test_same_space_as_recbole(name: str) -> None:
    case = CASES[name]
    ours = space.parse(case["text"])
    assert list(ours.names) == case["file_order"]
    for parameter in ours.parameters:
        expected = case["space"][parameter.name]
        assert parameter.type == expected["kind"]
        if parameter.type == "choice":
            options = [plain(option) for option in expected["options"]]
            assert list(parameter.values) == options
            assert [type(v) for v in parameter.values] == [type(option) for option in options]
        else:
            bounds = [b for b in (parameter.low, parameter.high, parameter.q) if b is not None]
            assert bounds == expected["args"]


@pytest.mark.parametrize("name", sorted(READ_AS_MEANT | MADE_TO_WORK))
def test_reads_what_was_meant(name: str) -> None:
    assert space.parse(CASES[name]["text"]).parameters


@pytest.mark.parametrize(
    "name", [n for n, c in CASES.items() if n in REFUSED or ("space" not in c and n not in MADE_TO_WORK)]
)
def test_refuses_with_a_fix(name: str) -> None:
    with pytest.raises(SpaceError) as caught:
        space.parse(CASES[name]["text"])
    assert caught.value.fix
