"""What trials leave in Optuna: written and read as one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tuner.store.trial_outcome import OUTCOME, TrialOutcome

ROOT = Path(__file__).parents[3]


def test_an_outcome_is_read_as_it_was_written() -> None:
    outcome = TrialOutcome(best_epoch=3, valid_result={"ndcg@10": 0.1}, seconds={"finetune": 2.0}, values={"a": 1})
    assert set(outcome.attributes) == {"best_epoch", "valid_result", "seconds", "values"}
    assert TrialOutcome.read({**outcome.attributes, "slot": 7}) == outcome


def test_the_attributes_have_the_names_that_databases_have() -> None:
    names = "best_epoch valid_result test_result seconds values protocol error same_as inputs"
    assert tuple(names.split()) == OUTCOME


def names_written(node: ast.AST) -> Iterator[str]:
    """Names of attributes that are written out where attributes of trials are read or written."""
    for found in ast.walk(node):
        if isinstance(found, ast.Call):
            called = ast.unparse(found.func)
            if called.endswith((".set_user_attr", ".set_trial_user_attr", "attributes_of", "user_attrs.get")):
                yield from texts(*found.args)
        elif isinstance(found, ast.keyword) and found.arg == "user_attrs" and isinstance(found.value, ast.Dict):
            yield from texts(*(key for key in found.value.keys if key is not None))
        elif isinstance(found, ast.Subscript) and ast.unparse(found.value).endswith("user_attrs"):
            yield from texts(found.slice)
        elif isinstance(found, ast.Compare) and ast.unparse(found.comparators[0]).endswith("user_attrs"):
            yield from texts(found.left)


def texts(*expressions: ast.expr) -> Iterator[str]:
    for expression in expressions:
        parts = expression.elts if isinstance(expression, ast.Tuple | ast.List) else [expression]
        yield from (str(part.value) for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))


def test_attributes_are_named_here_only() -> None:
    files = (ROOT / "tuner").rglob("*.py")
    assert {file.name: found for file in files if (found := list(names_written(ast.parse(file.read_text()))))} == {}


def test_a_name_that_is_written_elsewhere_is_found() -> None:
    wrong = """
t.set_user_attr("a", 1)
t.user_attrs["b"]
"c" in t.user_attrs
attributes_of(session, ids, ("d",))
create_trial(user_attrs={"e": 1})
"""
    assert sorted(names_written(ast.parse(wrong))) == ["a", "b", "c", "d", "e"]
