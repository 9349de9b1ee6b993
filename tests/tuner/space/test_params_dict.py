"""RecBole's params_dict form: the same spaces as hyper.test, errors with their lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tuner import space
from tuner.errors import SpaceError, SpaceErrors

TEXT = """# what HyperTuning(params_dict=...) takes
choice:
  pretrain_epochs: [50, 100, 150]
  loss_type: ['CE', 'BPR']
  mlp_hidden_size: [[64, 64], '[128]']
  clip_grad_norm: [null, {max_norm: 1.0}]
uniform:
  hidden_dropout_prob: [0.1, 0.5]
loguniform: {finetune.learning_rate: [-8, 0]}
quniform:
  n_layers: [1, 4, 1]
"""
SAME = """pretrain_epochs choice [50, 100, 150]
loss_type choice ['CE', 'BPR']
mlp_hidden_size choice [[64, 64], '[128]']
clip_grad_norm choice [None, {'max_norm': 1.0}]
hidden_dropout_prob uniform 0.1,0.5
finetune.learning_rate loguniform -8,0
n_layers quniform 1,4,1
"""


def as_params_dict(document: dict[str, Any]) -> dict[str, Any]:
    """The canonical JSON of a space in RecBole's form."""
    form: dict[str, Any] = {}
    for entry in document["parameters"]:
        values = entry.get("values") or [entry[key] for key in ("low", "high", "q") if key in entry]
        form.setdefault(entry["type"], {})[entry["name"]] = values
    return form


def test_it_is_the_space_of_the_same_lines(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    found = space.load(path)
    assert found == space.parse(SAME)
    assert found["n_layers"].line == 11


@pytest.mark.parametrize("name", ["params.yaml", "params.yml", "hyper.test", "params", "space.txt"])
def test_it_is_known_by_its_ending_or_its_content(name: str) -> None:
    assert space.parse(TEXT, name) == space.parse(SAME)


def test_it_survives_being_written_and_read() -> None:
    found = space.parse(SAME)
    form = as_params_dict(found.to_json())
    assert space.parse(yaml.safe_dump(form, sort_keys=False), "x.yaml") == found
    assert space.parse(json.dumps(form), "x.json") == found
    assert space.from_document(form) == found
    assert space.parse(json.dumps(form), "hyper.test") == found


@pytest.mark.parametrize(
    ("text", "line", "problem", "fix"),
    [
        ("choice:\n  a: 5\n", 2, "needs a list", "[5]"),
        ("choice:\n  a: []\n", 2, "no options", "at least one"),
        ("choice:\n  a: [.nan]\n", 2, "nan", "finite"),
        ("choice:\n  a: [2020-01-01]\n", 2, "no option", "texts"),
        ("choice:\n- a\n", 1, "no names", "choice:"),
        ("choice:\n", 1, "no names", "choice:"),
        ("uniform:\n  a: 0.1,0.5\n", 2, "list of 2 numbers", "[low, high]"),
        ("uniform:\n  a: [0.1, 0.5, 0.1]\n", 2, "list of 2 numbers", "[low, high]"),
        ("quniform:\n  a: [1, x, 1]\n", 2, "'x' is not a number", "[low, high, q]"),
        ("uniform:\n  a: [0, true]\n", 2, "True is not a number", "numbers"),
        ("uniform:\n  a: [5, 1]\n", 2, "above", "1,5"),
        ("normal:\n  a: [1]\nchoice: {b: [1]}\n", 1, "Unknown type 'normal'", "choice"),
        ("choice: {a: [1]}\nchoice: {b: [1]}\n", 2, "choice stands twice", "Keep one"),
        ("choice:\n  a: [1]\n  a: [2]\n", 3, "a stands twice", "Keep one"),
        ("choice: {a: [1]}\nuniform:\n  a: [0, 1]\n", 3, "declared twice (lines 1 and 3)", "Keep one"),
        ("choice:\n  a: [1\n", 3, "Not YAML", "example"),
    ],
)
def test_an_error_names_line_and_fix(text: str, line: int, problem: str, fix: str) -> None:
    with pytest.raises(SpaceError) as caught:
        space.parse(text, "params.yaml")
    assert (caught.value.file, caught.value.line) == ("params.yaml", line)
    assert problem in caught.value.problem
    assert fix in caught.value.fix


def test_all_errors_are_told_at_once() -> None:
    with pytest.raises(SpaceErrors) as caught:
        space.parse("choice:\n  a: 1\n  b: [1]\nuniform:\n  c: [1]\nnormal: {d: [1]}\n", "params.yaml")
    assert [error.line for error in caught.value.every] == [2, 5, 6]


def test_an_option_twice_and_bounds_like_values_are_remarked() -> None:
    notes = space.parse("choice:\n  a: [1, 1]\nloguniform:\n  b: [0.001, 0.1]\n", "p.yaml").notes
    assert notes[0] == "p.yaml:2:3: the option 1 is listed twice and counts once."
    assert notes[1].startswith("p.yaml:4:3: the bounds of a loguniform are exponents")


@pytest.mark.parametrize("name", ["settings.yaml", "hyper.test", "params"])
@pytest.mark.parametrize(
    "text",
    [
        "pretrain_epochs: 1\nepochs: 1\n",
        "# fast\n\nlearning_rate: 0.1\n",
        "eval_args:\n  split: {LS: valid_and_test}\n",
        "---\nepochs: 1\n",
    ],
)
def test_a_configuration_in_its_place_is_recognised(name: str, text: str) -> None:
    with pytest.raises(SpaceError, match=r"looks like a configuration \(key: value\)") as caught:
        space.parse(text, name)
    assert "--config_files" in caught.value.fix
    assert text.splitlines()[(caught.value.line or 0) - 1].strip().endswith(("1", ":", "0.1"))


def test_a_study_file_in_its_place_is_recognised() -> None:
    text = "model: S3Rec\ndataset: t\nparams_file: hyper.test\n"
    for name in ("study.yaml", "hyper.test"):
        with pytest.raises(SpaceError, match="study file"):
            space.parse(text, name)


def test_aliases_without_end_are_refused() -> None:
    bomb = "choice:\n  a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
    for before, after in zip("abcdefg", "bcdefgh", strict=True):
        bomb += f"  {after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    with pytest.raises(SpaceError, match="aliases"):
        space.parse(bomb, "params.yaml")
    with pytest.raises(SpaceError):
        space.parse("choice: &a\n  b: [*a]\n", "params.yaml")
    with pytest.raises(SpaceError):
        space.parse("choice: " + "[" * 1500, "params.yaml")
