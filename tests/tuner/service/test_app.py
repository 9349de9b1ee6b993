from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from tuner.errors import DatabaseError
from tuner.service.app import MOST_BODY_BYTES, create_app
from tuner.settings import Settings


def test_health_says_that_all_is_well(http: TestClient) -> None:
    answer = http.get("/api/v1/health")
    assert answer.status_code == 200
    assert answer.json() | {"studies": {}} == {
        "status": "ok",
        "detail": None,
        "database": "sqlite",
        "database_ok": True,
        "workers_wanted": 0,
        "workers_alive": 0,
        "studies": {},
    }


def test_health_says_that_nobody_works_on_a_waiting_study(http: TestClient) -> None:
    body = {"model": "S3Rec", "dataset": "toy", "params": "pretrain_epochs choice [1]"}
    http.post("/api/v1/studies", json=body)
    health = http.get("/api/v1/health").json()
    assert health["status"] == "degraded"
    assert "tuner worker" in health["detail"]
    assert health["studies"] == {"queued": 1}


def test_the_model_schema_has_the_documented_defaults(http: TestClient) -> None:
    names = [model["name"] for model in http.get("/api/v1/models").json()]
    assert "S3Rec" in names
    schema = http.get("/api/v1/models/S3Rec").json()
    defaults = {parameter["name"]: parameter["default"] for parameter in schema["parameters"]}
    assert (defaults["pretrain_epochs"], defaults["aap_weight"], defaults["loss_type"]) == (500, 1.0, "CE")
    assert schema["stages"] == ["pretrain", "finetune"]
    assert "pretrain_epochs" in schema["search_space"]
    missing = http.get("/api/v1/models/S4Rec")
    assert missing.status_code == 404
    assert "S3Rec" in missing.json()["detail"]


def test_datasets_are_those_at_hand_and_those_that_can_be_fetched(http: TestClient) -> None:
    datasets = {dataset["name"]: dataset for dataset in http.get("/api/v1/datasets").json()}
    assert datasets["toy"]["folder"].endswith("toy")
    assert datasets["ml-100k"]["fetchable"]
    assert "GroupLens" in datasets["ml-100k"]["licence"]


def test_the_version_names_what_runs(http: TestClient) -> None:
    version = http.get("/api/v1/version").json()
    assert (version["name"], version["api"]) == ("rectuner", "v1")


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/nowhere", "/api/v1/studies/a/b/c/d"])
def test_unknown_addresses_are_problems(http: TestClient, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["instance"] == path


def test_a_method_that_is_not_there_is_a_problem(http: TestClient) -> None:
    answer = http.put("/api/v1/studies/a")
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_parameter_out_of_range_is_named(http: TestClient) -> None:
    answer = http.get("/api/v1/studies", params={"limit": 0})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "limit"


def test_the_type_of_a_problem_can_be_followed(http: TestClient) -> None:
    problem = http.get("/api/v1/studies/none").json()
    explanation = http.get(problem["type"])
    assert explanation.status_code == 200
    assert explanation.json()["title"] == problem["title"]


def test_large_bodies_are_refused_whether_announced_or_not(http: TestClient) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(MOST_BODY_BYTES // 100_000 + 1):
            yield b" " * 100_000

    headers = {"content-type": "application/json"}
    for content in (b" " * (MOST_BODY_BYTES + 1), chunks()):
        answer = http.post("/api/v1/studies", content=content, headers=headers)
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"


def test_other_kinds_of_body_are_refused(http: TestClient) -> None:
    answer = http.post("/api/v1/studies", content=b"a: 1", headers={"content-type": "text/yaml"})
    assert answer.status_code == 415
    broken = http.post("/api/v1/studies", content=b"{", headers={"content-type": "application/json"})
    assert broken.status_code == 422


def test_the_documentation_loads_nothing_from_elsewhere(http: TestClient) -> None:
    page = http.get("/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert loaded
    for address in loaded:
        assert address.startswith("/"), address
        assert http.get(address).status_code == 200
    assert "https://cdn" not in page


def test_openapi_describes_both_ways_to_post_a_study(http: TestClient) -> None:
    document = http.get("/openapi.json").json()
    content = document["paths"]["/api/v1/studies"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}


def test_every_reference_of_the_openapi_document_leads_somewhere(http: TestClient) -> None:
    document = http.get("/openapi.json").json()
    references = set(re.findall(r'"\$ref": ?"([^"]*)"', json.dumps(document)))
    assert "#/components/schemas/SamplerSpecification-Input" in references
    for reference in references:
        node = document
        assert reference.startswith("#/")
        for part in reference.removeprefix("#/").split("/"):
            assert part in node, reference
            node = node[part]


def test_a_bad_database_stops_the_start(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("home") / "file"
    file.write_text("not a folder")
    with pytest.raises(DatabaseError, match="TUNER_HOME"), TestClient(create_app(Settings(home=file / "home"))):
        pass
