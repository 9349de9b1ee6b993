"""The launch page: what it explains, remarks and takes is what REST answers."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from callbacks_over_http import STUDY, Dashboard

from tuner import space
from tuner.dashboard.context import context_of
from tuner.dashboard.pages.launch import _explained, _text_of
from tuner.errors import SpaceError


def said(children: Any) -> str:
    """Everything that stands in components."""
    return json.dumps([child.to_plotly_json() for child in children], default=lambda part: part.to_plotly_json())


def explain(dashboard: Dashboard, params: str, config: str | None = None, source: str | None = None) -> Any:
    context = context_of(dashboard.app, dashboard.settings)
    return _explained(context, params, source, {"model": "S3Rec", "dataset": "toy", "config": config})


@pytest.mark.parametrize("trials", [1, 2])
def test_the_number_of_trials_is_that_of_the_form(dashboard: Dashboard, trials: int) -> None:
    dashboard.click(
        "/launch", "launch-message.children", "launch-go.n_clicks", launch_name="few", launch_max_trials=trials
    )
    assert dashboard.http.get("/api/v1/studies/few").json()["trials_total"] == trials


def test_every_field_of_the_form_counts(dashboard: Dashboard) -> None:
    dashboard.click(
        "/launch",
        "launch-message.children",
        "launch-go.n_clicks",
        launch_name="mine",
        launch_model="SURGE",
        launch_params="learning_rate uniform 0.001,0.1",
        launch_sampler="random",
        launch_max_trials=7,
        launch_config="epochs: 3",
    )
    made = dashboard.http.get("/api/v1/studies/mine/specification").json()
    assert (made["model"], made["dataset"], made["max_trials"]) == ("SURGE", "toy", 7)
    assert (made["sampler"]["name"], made["config"]) == ("random", {"epochs": 3})
    assert [parameter["name"] for parameter in made["space"]["parameters"]] == ["learning_rate"]


@pytest.mark.parametrize(
    ("params", "config"),
    [
        ("n_layers choice [1, 2]", {"hiden_size": 4}),
        ("loss_type choice ['CE']\ntrain_neg_sample_args choice [{'distribution': 'uniform'}]", {}),
        ("pretrain_epochs choice [1, 2]\nsave_step choice [1, 2]", {}),
    ],
    ids=["an unknown key", "a key without effect here", "a key without effect anywhere"],
)
def test_what_is_said_is_what_rest_says(dashboard: Dashboard, params: str, config: dict[str, Any]) -> None:
    answer = dashboard.http.post("/api/v1/studies", json=STUDY | {"params": params, "config": config})
    explained = said(explain(dashboard, params, json.dumps(config), "params"))
    expected = answer.json()["warnings"] if answer.status_code == 201 else [answer.json()["detail"]]
    for sentence in expected:
        assert json.dumps(sentence)[1:-1] in explained


def test_all_that_is_wrong_is_said_as_rest_says_it(dashboard: Dashboard) -> None:
    params, config = "n_layerz choice [1]", {"hidden_size": 100_000, "data_path": "/etc"}
    errors = dashboard.http.post("/api/v1/studies", json=STUDY | {"params": params, "config": config}).json()["errors"]
    explained = said(explain(dashboard, params, json.dumps(config), "params"))
    assert len(errors) == 3
    for error in errors:
        assert json.dumps(error["detail"])[1:-1] in explained


def test_an_unknown_key_is_remarked_before_anything_is_launched(dashboard: Dashboard) -> None:
    assert "Did you mean hidden_size?" in said(explain(dashboard, "n_layers choice [1, 2]", "hiden_size: 4"))


def test_what_is_wrong_with_both_texts_is_said_at_once(dashboard: Dashboard) -> None:
    explained = said(explain(dashboard, "n_layers choyce [1]", "epochs: ["))
    assert "choyce" in explained
    assert "Configuration" in explained


def data_url(content: bytes) -> str:
    return "data:application/octet-stream;base64," + base64.b64encode(content).decode()


def test_a_file_is_taken_and_called_by_its_name(dashboard: Dashboard) -> None:
    content = "n_layers choice [1, 2]\n# ünlimited\n"
    parts = {"launch_file.contents": data_url(content.encode()), "launch_file.filename": "mine.test"}
    answer = dashboard.change("/launch", "launch-refused.children", "launch-file.contents", parts)
    assert answer["launch-params"] == {"value": content}
    assert answer["launch-source"] == {"children": "mine.test"}
    assert answer["launch-file"] == {"contents": None}
    assert "mine.test:1:10" in said(explain(dashboard, "n_layers choyce [1]", source="mine.test"))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\x89PNG\xff", "not UTF-8"), (b"#" * (space.MAX_BYTES + 1), "at most 1,000,000 bytes")],
    ids=["no text", "too large"],
)
def test_what_is_no_params_file_is_refused_by_its_name(dashboard: Dashboard, content: bytes, message: str) -> None:
    with pytest.raises(SpaceError, match=f"mine.png.*{message}"):
        _text_of(data_url(content), "mine.png")
    parts = {"launch_file.contents": data_url(content), "launch_file.filename": "mine.png"}
    answer = dashboard.change("/launch", "launch-refused.children", "launch-file.contents", parts)
    assert message in json.dumps(answer["launch-refused"])
    assert "launch-params" not in answer
