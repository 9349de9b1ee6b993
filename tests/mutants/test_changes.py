from __future__ import annotations

import ast

import pytest
from mutate import ROOT, Change, Mutant, table


@pytest.mark.parametrize("mutant", table(), ids=lambda mutant: mutant.name)
def test_every_change_still_applies(mutant: Mutant) -> None:
    for change in mutant.changes:
        changed = change.apply(ROOT)
        ast.parse(changed)
        assert changed != (ROOT / change.file).read_text()
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / file).read_text()


def test_names_are_told_apart() -> None:
    names = [mutant.name for mutant in table()]
    assert len(set(names)) == len(names)


def test_a_change_that_no_longer_applies_is_said() -> None:
    with pytest.raises(ValueError, match="is there 0 times"):
        Change("tests/mutants/mutate.py", "no such text".upper(), "").apply(ROOT)
