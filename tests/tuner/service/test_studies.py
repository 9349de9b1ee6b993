from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

SPACE = "pretrain_epochs choice [1, 2]\nfinetune.learning_rate choice [0.001, 0.01]\n"
STUDIES = "/api/v1/studies"


def post(http: TestClient, **changes: Any) -> Any:
    body = {"name": "study", "model": "S3Rec", "dataset": "toy", "params": SPACE} | changes
    return http.post(STUDIES, json={key: value for key, value in body.items() if value is not None})


@pytest.fixture
def study(http: TestClient) -> str:
    assert post(http).status_code == 201
    return "study"


def test_a_study_posted_as_json_is_created_and_found_at_its_location(http: TestClient) -> None:
    answer = post(http)
    assert answer.status_code == 201
    assert answer.json()["max_trials"] == 4
    found = http.get(answer.headers["location"])
    assert found.status_code == 200
    assert (found.json()["name"], found.json()["state"]) == ("study", "queued")


def test_the_space_may_be_json_too(http: TestClient) -> None:
    space = {"parameters": [{"name": "pretrain_epochs", "type": "choice", "values": [1, 2]}]}
    answer = post(http, params=None, space=space)
    assert answer.status_code == 201
    specification = http.get(f"{STUDIES}/study/specification").json()
    assert specification["space"] == space | {"size": 2}


def test_a_form_with_files_is_what_curl_sends(http: TestClient) -> None:
    files = [
        ("params_file", ("hyper.test", b"learning_rate loguniform -8,-5\n")),
        ("config_files", ("a.yaml", b"train_batch_size: 64\nseed: 7\n")),
        ("config_files", ("b.yaml", b"train_batch_size: 32\n")),
    ]
    fields = {"model": "S3Rec", "dataset": "toy", "sampler": "bayes", "max_trials": "3", "config": "{'epochs': 2}"}
    answer = http.post(STUDIES, data=fields, files=files)
    assert answer.status_code == 201, answer.text
    specification = http.get(answer.headers["location"] + "/specification").json()
    assert specification["config"]["train_batch_size"] == 32
    assert specification["config"]["seed"] == 7
    assert specification["config"]["epochs"] == 2
    assert specification["sampler"]["name"] == "tpe"
    assert specification["max_trials"] == 3


def test_a_study_without_a_name_gets_a_new_one_each_time(http: TestClient) -> None:
    names = {post(http, name=None).json()["name"] for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("S3Rec-toy-") for name in names)


def test_keys_that_the_model_does_not_know_are_told_as_warnings(http: TestClient) -> None:
    answer = post(http, config={"train_batch_sise": 3})
    assert answer.status_code == 201
    (warning,) = answer.json()["warnings"]
    assert "train_batch_sise" in warning
    assert "train_batch_size" in warning


def refused() -> Iterator[Any]:
    yield pytest.param({"params": "pretrain_epochs choyce [1]"}, 422, "search-space", "params:1:", id="grammar")
    yield pytest.param({"params": "pretrain_epocs choice [1]"}, 422, "search-space", "pretrain_epochs", id="unknown")
    yield pytest.param({"params": "# nothing\n"}, 422, "search-space", "", id="empty")
    yield pytest.param({"params": None}, 422, "request", "search space", id="no space")
    yield pytest.param({"model": "S3rec"}, 422, "configuration", "S3Rec", id="model")
    yield pytest.param({"model": None}, 422, "configuration", "model", id="no model")
    yield pytest.param({"dataset": "tay"}, 422, "dataset-not-found", "toy", id="data set")
    yield pytest.param({"dataset": "ml-100k"}, 422, "dataset-not-found", "tuner data get ml-100k", id="fetchable")
    yield pytest.param({"config": {"epochs": "many"}}, 422, "configuration", "epochs", id="value")
    yield pytest.param({"config": {"pretrain_epochs": 3}}, 422, "search-space", "both fixed and searched", id="fixed")
    yield pytest.param({"config": {"item_attribute": "genre"}}, 422, "attribute-missing", "class", id="attribute")
    yield pytest.param({"max_trials": 0}, 422, "request", "max_trials", id="budget")
    yield pytest.param({"samplr": "tpe"}, 422, "request", "samplr", id="field")
    yield pytest.param({"sampler": "best"}, 422, "request", "sampler", id="sampler")
    yield pytest.param({"name": "a/b"}, 422, "specification", "name", id="name")


@pytest.mark.parametrize(("changes", "status", "kind", "detail"), list(refused()))
def test_what_is_wrong_is_answered_with_problem_details_and_creates_nothing(
    http: TestClient, changes: dict[str, Any], status: int, kind: str, detail: str
) -> None:
    answer = post(http, **changes)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"/api/v1/problems/{kind}"
    assert problem["status"] == status
    assert problem["instance"] == STUDIES
    assert detail in problem["detail"]
    assert http.get(STUDIES).json()["total"] == 0


def test_an_error_in_an_uploaded_file_names_file_line_and_column(http: TestClient) -> None:
    files = {"params_file": ("mine.test", b"# fine\npretrain_epochs choice [1, 2\n")}
    answer = http.post(STUDIES, data={"model": "S3Rec", "dataset": "toy"}, files=files)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert (error["file"], error["line"]) == ("mine.test", 2)
    assert error["column"] > 0
    assert error["fix"]


def test_an_uploaded_configuration_that_is_no_yaml_is_named(http: TestClient) -> None:
    files = [("params_file", ("h.test", SPACE.encode())), ("config_files", ("mine.yaml", b"a: [1\n"))]
    answer = http.post(STUDIES, data={"model": "S3Rec", "dataset": "toy"}, files=files)
    assert answer.status_code == 422
    assert "mine.yaml" in answer.json()["detail"]


def test_a_taken_name_is_a_conflict(http: TestClient, study: str) -> None:
    answer = post(http)
    assert answer.status_code == 409
    assert answer.json()["type"].endswith("study-exists")


def test_studies_are_paged_and_filtered(http: TestClient) -> None:
    for name in ("one", "two", "three"):
        post(http, name=name)
    http.post(f"{STUDIES}/two/pause")
    page = http.get(STUDIES, params={"limit": 2}).json()
    assert ([item["name"] for item in page["items"]], page["total"]) == (["three", "two"], 3)
    rest = http.get(STUDIES, params={"limit": 2, "offset": 2}).json()
    assert [item["name"] for item in rest["items"]] == ["one"]
    paused = http.get(STUDIES, params={"state": "paused"}).json()
    assert [item["name"] for item in paused["items"]] == ["two"]


def test_the_verbs_change_the_state_and_are_idempotent(http: TestClient, study: str) -> None:
    states = []
    for verb in ("pause", "pause", "resume", "stop", "stop", "resume", "cancel", "cancel"):
        answer = http.post(f"{STUDIES}/{study}/{verb}")
        assert answer.status_code == 200, answer.text
        states.append(answer.json()["state"])
    assert states == ["paused", "paused", "queued", "stopped", "stopped", "queued", "cancelled", "cancelled"]
    refused = http.post(f"{STUDIES}/{study}/resume")
    assert (refused.status_code, refused.json()["type"]) == (409, "/api/v1/problems/study-state")


def test_the_budget_of_a_sampled_study_can_be_raised(http: TestClient) -> None:
    post(http, params="learning_rate loguniform -8,-5", max_trials=2)
    answer = http.patch(f"{STUDIES}/study", json={"max_trials": 5})
    assert answer.status_code == 200, answer.text
    assert answer.json()["trials_total"] == 5


def test_a_deleted_study_is_gone_with_its_files(http: TestClient, study: str, tmp_path: Path) -> None:
    assert http.delete(f"{STUDIES}/{study}").status_code == 204
    assert http.get(f"{STUDIES}/{study}").status_code == 404
    assert http.delete(f"{STUDIES}/{study}").status_code == 404
    assert post(http).status_code == 201


def test_importances_say_why_there_are_none_yet(http: TestClient, study: str) -> None:
    answer = http.get(f"{STUDIES}/{study}/importances").json()
    assert answer["effects"] == []
    assert answer["reason"] == "too few trials (0 of 4)"


def test_trials_are_listed_before_they_start(http: TestClient, study: str) -> None:
    page = http.get(f"{STUDIES}/{study}/trials", params={"state": "waiting", "limit": 3}).json()
    assert page["total"] == 4
    assert len(page["items"]) == 3
    assert page["items"][0]["params"] == {"pretrain_epochs": 1, "finetune.learning_rate": 0.001}
    missing = http.get(f"{STUDIES}/{study}/trials/0")
    assert (missing.status_code, missing.json()["type"]) == (404, "/api/v1/problems/trial-not-found")


def test_shared_stages_are_listed_for_a_study_and_for_all(http: TestClient, study: str) -> None:
    nothing = {"items": [], "total": 0, "limit": 50, "offset": 0}
    assert http.get(f"{STUDIES}/{study}/stages").json() == nothing
    assert http.get("/api/v1/stages").json() == nothing
    assert http.get(f"{STUDIES}/none/stages").status_code == 404
    assert http.get("/api/v1/stages", params={"limit": 0}).status_code == 422


def test_a_trial_is_put_before_the_others_by_hand(http: TestClient, study: str) -> None:
    values = {"pretrain_epochs": 2, "finetune.learning_rate": 0.01}
    answer = http.post(f"{STUDIES}/{study}/trials", json={"params": values})
    assert answer.status_code == 202
    assert answer.json()["trials_total"] == 5
    assert [trial["params"] for trial in http.get(f"{STUDIES}/{study}/trials").json()["items"]].count(values) == 2


@pytest.mark.parametrize(
    ("values", "detail"),
    [
        ({"pretrain_epochs": 3, "finetune.learning_rate": 0.01}, "Take one of [1, 2]."),
        ({"pretrain_epochs": 2}, "finetune.learning_rate has no value"),
        ({"pretrain_epochs": 2, "finetune.learning_rate": 0.01, "epochs": 3}, "epochs is not searched"),
    ],
)
def test_a_trial_outside_the_space_is_refused(
    http: TestClient, study: str, values: dict[str, object], detail: str
) -> None:
    answer = http.post(f"{STUDIES}/{study}/trials", json={"params": values})
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]
    assert http.get(f"{STUDIES}/{study}").json()["trials_total"] == 4
