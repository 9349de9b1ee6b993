"""Inputs 10 and 20: searched keys that change nothing, and options that are one value."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def test_10_a_searched_key_that_changes_nothing_is_pointed_out(launch: Any, tuner: Any) -> None:
    Path("hyper.test").write_text("save_step choice [5, 10]\n")
    code, said = tuner("space", "hyper.test")
    assert code == 0
    assert "save_step has no effect in a study" in said
    (warning,) = launch("save_step choice [5, 10]\n").json()["warnings"]
    assert warning.startswith("save_step has no effect in a study")


def test_20_options_that_are_one_value_count_once(launch: Any, tuner: Any) -> None:
    Path("hyper.test").write_text("hidden_size choice [16, 16.0, 8]\n")
    code, said = tuner("space", "hyper.test")
    assert code == 0
    assert "2 combinations" in said
    assert "hyper.test:1: the option 16.0 of hidden_size is read as 16, as 16 is, and counts once." in said
    created = launch("hidden_size choice [16, 16.0, 8]\n").json()
    assert created["max_trials"] == 2
    assert "counts once" in created["warnings"][0]
