from __future__ import annotations

import ast
from pathlib import Path

from tuner.store import StudyState
from tuner.store.events import KINDS

ROOT = Path(__file__).parents[3]
# Where a kind is computed, what it may be.
COMPUTED = {"str(state)": {str(state) for state in StudyState}}


def kinds_written() -> set[str]:
    """The kinds in all calls of add_event, where a name stands for every text that its function assigns to it."""
    found: set[str] = set()
    for file in sorted((ROOT / "tuner").rglob("*.py")):
        for function in functions(ast.parse(file.read_text())):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("add_event"):
                    found |= possible(call.args[2], function)
    return found


def functions(module: ast.Module) -> list[ast.FunctionDef]:
    """Those of the module and of its classes; functions inside functions belong to the outer one."""
    inside = [node for found in module.body if isinstance(found, ast.ClassDef) for node in found.body]
    return [node for node in (*module.body, *inside) if isinstance(node, ast.FunctionDef)]


def possible(kind: ast.expr, function: ast.FunctionDef) -> set[str]:
    if isinstance(kind, ast.Constant):
        return {str(kind.value)}
    if isinstance(kind, ast.IfExp):
        return possible(kind.body, function) | possible(kind.orelse, function)
    if isinstance(kind, ast.Name):
        assigned = [
            node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == kind.id
        ]
        assert assigned, f"{function.name}: where does {kind.id} come from?"
        return set().union(*(possible(value, function) for value in assigned))
    return COMPUTED[ast.unparse(kind)]


def test_every_kind_that_is_written_is_known() -> None:
    """A new kind has to be added to KINDS, and to the table in docs/engine.md."""
    assert kinds_written() <= set(KINDS)


def test_the_documented_kinds_are_the_known_ones() -> None:
    text = (ROOT / "docs" / "engine.md").read_text()
    _, _, table = text.partition("| kind | what it says |\n|---|---|\n")
    rows = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()]
    assert {kind.strip("`"): meaning for kind, meaning in rows} == KINDS
