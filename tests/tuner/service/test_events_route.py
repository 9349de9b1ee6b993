from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

STUDY = {"name": "study", "model": "S3Rec", "dataset": "toy", "params": "pretrain_epochs choice [1, 2]\n"}


@pytest.fixture
def http_with_study(http: TestClient) -> TestClient:
    assert http.post("/api/v1/studies", json=STUDY).status_code == 201
    assert http.post("/api/v1/studies/study/pause").status_code == 200
    return http


def test_a_studys_events_and_everybodys(http_with_study: TestClient) -> None:
    for path in ("/api/v1/studies/study/events", "/api/v1/events"):
        page = http_with_study.get(path).json()
        assert [event["kind"] for event in page["items"]] == ["paused", "created"]
        assert (page["total"], page["items"][0]["message"]) == (2, "paused by request")
        assert {event["study"] for event in page["items"]} == {"study"}


def test_events_are_followed_by_id(http_with_study: TestClient) -> None:
    first = http_with_study.get("/api/v1/events", params={"after": 0, "limit": 1}).json()["items"][0]
    assert first["kind"] == "created"
    later = http_with_study.get("/api/v1/studies/study/events", params={"after": first["id"]}).json()
    assert [event["kind"] for event in later["items"]] == ["paused"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"kind": "created"}, 200),
        ({"kind": "lots"}, 422),
        ({"after": 2**63}, 422),
        ({"trial": 2**31}, 422),
        ({"offset": 2**63}, 422),
        ({"limit": 201}, 422),
    ],
)
def test_queries_are_checked(http_with_study: TestClient, query: dict[str, object], status: int) -> None:
    answer = http_with_study.get("/api/v1/studies/study/events", params=query)
    assert answer.status_code == status
    if query == {"kind": "lots"}:
        assert "There is no kind of event 'lots'. Kinds: created," in answer.text


def test_events_of_a_study_that_is_not_there(http: TestClient) -> None:
    assert http.get("/api/v1/studies/nowhere/events").status_code == 404
