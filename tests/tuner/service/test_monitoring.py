"""What machines look at: liveness, readiness, and Prometheus's metrics, read back with Prometheus's own parser."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, update

from tuner.service.app import create_app
from tuner.service.metrics import Totals
from tuner.settings import Settings
from tuner.store import Database, TrialState
from tuner.store.tables import Slot

STUDY = {"name": "study", "model": "S3Rec", "dataset": "toy", "params": "pretrain_epochs choice [1, 2, 3]\n"}
Labels = tuple[tuple[str, str], ...]


def scraped(http: TestClient) -> dict[tuple[str, Labels], float]:
    answer = http.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


@pytest.fixture
def database(http: TestClient) -> Database:
    assert isinstance(http.app, FastAPI)
    found: Database = http.app.state.database
    return found


def test_trials_studies_and_the_queue(http: TestClient, database: Database) -> None:
    assert http.post("/api/v1/studies", json=STUDY).status_code == 201
    with database.transaction() as session:
        costs = {"epochs_asked": 2, "epochs_run": 1, "epochs_reused": 1, "seconds_run": 1.5}
        session.execute(update(Slot).where(Slot.ordinal == 0).values(state=TrialState.COMPLETED, **costs))
    found = scraped(http)
    assert found["rectuner_studies", (("state", "queued"),)] == 1
    assert found["rectuner_trials", (("state", "completed"),)] == 1
    assert found["rectuner_trials", (("state", "waiting"),)] == 2 == found["rectuner_queue", ()]
    assert [found["rectuner_shared_epochs", (("kind", kind),)] for kind in ("asked", "run", "reused")] == [2, 1, 1]
    assert found["rectuner_computing_seconds", ()] == 1.5


def test_requests_are_counted_by_route_and_not_by_what_is_asked_for(http: TestClient) -> None:
    for path in ("/api/v1/studies/a", "/api/v1/studies/b", "/api/v1/nowhere/1", "/api/v1/nowhere/2", "/nowhere"):
        http.get(path)
    counts = {labels: value for (name, labels), value in scraped(http).items() if name.endswith("seconds_count")}
    route = (("method", "GET"), ("route", "/studies/{name}"), ("status", "404"))
    assert counts[route] == 2
    assert not any("nowhere" in str(labels) for labels in counts)


def test_scraping_often_costs_as_much_as_scraping_once(database: Database) -> None:
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    now = 0.0
    totals = Totals(lambda: database, lambda: now)
    list(totals.collect())
    once = len(statements)
    list(totals.collect())
    assert len(statements) == once > 0
    now = 60.0
    list(totals.collect())
    assert len(statements) == 2 * once


def test_every_application_has_measures_of_its_own(http: TestClient, settings: Settings) -> None:
    http.get("/api/v1/version")
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as other:
        assert not any("version" in str(labels) for _, labels in scraped(other))


def test_alive_and_ready(http: TestClient) -> None:
    assert [http.get(path).json() for path in ("/healthz", "/readyz")] == [{"status": "ok"}] * 2


def test_without_its_database_the_service_is_alive_and_not_ready(http: TestClient) -> None:
    assert isinstance(http.app, FastAPI)
    http.app.state.database = Database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    assert http.get("/healthz").status_code == 200
    for path in ("/readyz", "/metrics"):
        answer = http.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    http.app.state.database.close()
