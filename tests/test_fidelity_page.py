"""Every test that the documentation names is there; fidelity.md names every golden file and correction of S3Rec."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from model.s3rec.parameters import PARAMETERS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("page", "at_least"), [("fidelity.md", 60), ("models/surge.md", 35)])
def test_every_named_test_is_there(page: str, at_least: int) -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert len(named) > at_least
    defined = {
        (path.name, node.name)
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert set(named) - defined == set()


def test_every_golden_file_is_named_and_read_by_a_test() -> None:
    present = {path.name for path in (ROOT / "tests" / "golden").glob("*.json")}
    assert set(re.findall(r"`(\w+\.json)`", PAGE)) == present
    for path in re.findall(r"`(tests/\S+\.py)`", PAGE):
        assert (ROOT / path).is_file(), path


def test_every_correction_is_listed_with_its_effect_and_its_test() -> None:
    corrections = {
        parameter.name for parameter in PARAMETERS if re.search(r"RecBole['\")]|RecBole\)", parameter.doc)
    } - {"share_prefixes"}
    model_page = (ROOT / "docs" / "models" / "s3rec.md").read_text(encoding="utf-8")
    for text, heading in ((PAGE, "## Corrections"), (model_page, "## Where RecBole is likely wrong")):
        section = text.split(heading)[1].split("\n## ")[0]
        assert corrections == set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))
