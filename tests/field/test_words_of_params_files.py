"""Inputs 06 and 18: what an error says to write means the same, and a file of another kind is recognised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

Launch = Any
Tuner = Any


def test_06_the_list_proposed_for_an_expression_is_that_list(tuner: Tuner, launch: Launch) -> None:
    line = "hidden_dropout_prob choice [i/10 for i in range(3)]\n"
    Path("hyper.test").write_text(line)
    code, said = tuner("space", "hyper.test")
    assert code == 2
    assert "hyper.test:1:34: Expressions are not run. Write [0.0, 0.1, 0.2]." in said
    answer = launch(line)
    assert answer.status_code == 422
    assert "Write [0.0, 0.1, 0.2]." in answer.json()["detail"]


@pytest.mark.parametrize("name", ["fast.yaml", "hyper.test"])
def test_18_a_configuration_as_params_file_is_recognised(tuner: Tuner, name: str) -> None:
    Path(name).write_text("pretrain_epochs: 1\nepochs: 1\n")
    code, said = tuner("space", name)
    assert code == 2
    assert f"{name}:1:1: This looks like a configuration (key: value)" in said
    assert "a params file has name, type, values" in said


def test_18_params_dict_as_yaml_is_a_params_file(tuner: Tuner, http: TestClient) -> None:
    Path("params_dict.yaml").write_text("choice:\n  n_layers: [1, 2]\n")
    code, said = tuner("space", "params_dict.yaml")
    assert code == 0
    assert "2 combinations" in said
    files = {"params_file": ("params_dict.yaml", b"choice:\n  n_layers: [1, 2]\n")}
    answer = http.post("/api/v1/studies", data={"name": "s", "model": "S3Rec", "dataset": "t"}, files=files)
    assert answer.status_code == 201, answer.text
    assert answer.json()["max_trials"] == 2


def test_all_errors_of_a_file_are_told_by_every_way_in(tuner: Tuner, launch: Launch) -> None:
    params = "n_layers choice [1, 2]\nn_head choice [1]\nhidden_size uniform 8,16\npretrain.topk choice [[5]]\n"
    Path("hyper.test").write_text(params)
    code, said = tuner("space", "hyper.test")
    assert code == 2
    assert [line.partition(": ")[0].removeprefix("Error: ") for line in said.strip().splitlines()] == [
        "Error",
        "hyper.test:3:1",
        "hyper.test:4:1",
    ]
    problem = launch(params).json()
    assert [(error["line"], error["column"]) for error in problem["errors"]] == [(2, 1), (3, 1), (4, 1)]
    assert all(error["detail"] and error["fix"] for error in problem["errors"])
    assert len(problem["detail"].splitlines()) == 3
