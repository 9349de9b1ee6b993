"""Who is let in, when, and to do what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tuner.service import access
from tuner.service.app import create_app
from tuner.settings import Settings
from tuner.store import Database, tokens
from tuner.store.tokens import Scope

STUDIES = "/api/v1/studies"
OWN = "http://127.0.0.1:8000"
PAGE = {"accept": "text/html,*/*"}
BODY = {"name": "study", "model": "S3Rec", "dataset": "toy", "params": "pretrain_epochs choice [1, 2]"}


@pytest.fixture
def settings(settings: Settings, database_url: str) -> Settings:
    """An installation on either kind of database."""
    return settings.model_copy(update={"database_url": database_url})


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_FIRST_WAIT", 0.0)


@pytest.fixture
def guarded(settings: Settings) -> Iterator[TestClient]:
    """A service that asks for a token."""
    always = settings.model_copy(update={"auth": "always"})
    with TestClient(create_app(always), base_url=OWN, follow_redirects=False) as client:
        yield client


def database_of(http: TestClient) -> Database:
    return cast(Database, cast(FastAPI, http.app).state.database)


def bearer(http: TestClient, scope: Scope) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens.create_token(database_of(http), scope.value, scope)}"}


def log_in(http: TestClient, scope: Scope) -> None:
    """As a browser does; the cookie stays with the client."""
    token = bearer(http, scope)["authorization"].split()[1]
    answer = http.post("/login", data={"token": token, "next": "/launch"}, headers={"origin": OWN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/launch")
    assert re.search(r"HttpOnly.*SameSite=strict", answer.headers["set-cookie"])


def act(http: TestClient, verb: str, study: str) -> Any:
    """Press a button of a study's page."""
    inputs = [
        {"id": "study-cancel-sure" if name == "cancel" else f"study-{name}", "property": prop, "value": 1}
        for name, prop in (
            ("pause", "n_clicks"),
            ("resume", "n_clicks"),
            ("stop", "n_clicks"),
            ("cancel", "submit_n_clicks"),
        )
    ]
    body = {
        "output": "study-message.children",
        "outputs": {"id": "study-message", "property": "children"},
        "inputs": inputs,
        "changedPropIds": [f"study-{verb}.n_clicks"],
        "state": [{"id": "study-name", "property": "data", "value": study}],
    }
    return http.post("/_dash-update-component", json=body, headers={"origin": OWN})


def test_on_loopback_nobody_is_asked_until_a_token_was_made(http: TestClient) -> None:
    assert http.get(STUDIES).status_code == 200
    token = bearer(http, Scope.READ)
    assert http.get(STUDIES).status_code == 401
    assert http.get(STUDIES, headers=token).status_code == 200
    # Not open again when the last one is revoked.
    tokens.revoke_token(database_of(http), Scope.READ.value)
    assert http.get(STUDIES, headers=token).status_code == 401


@pytest.mark.parametrize(("host", "auth", "status"), [("0.0.0.0", "auto", 401), ("0.0.0.0", "never", 200)])
def test_elsewhere_everybody_is_asked_unless_never_is_said(
    settings: Settings, host: str, auth: str, status: int
) -> None:
    open_to_others = settings.model_copy(update={"host": host, "auth": auth})
    with TestClient(create_app(open_to_others), base_url=OWN) as http:
        assert http.get(STUDIES).status_code == status


@pytest.mark.parametrize("path", [STUDIES, "/docs", "/openapi.json", "/_dash-layout", "/assets/grid.js", "/nonesuch"])
def test_nobody_gets_a_thing_without_a_token(guarded: TestClient, path: str) -> None:
    answer = guarded.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "tuner token create" in answer.json()["detail"]


@pytest.mark.parametrize("token", ["Bearer wrong", "Bearer ", "Bearer rct_ä".encode(), "Basic eDp4"])
def test_a_wrong_token_is_nobodys(guarded: TestClient, token: str | bytes) -> None:
    assert guarded.get(STUDIES, headers={"authorization": token}).status_code == 401


def test_health_is_open(guarded: TestClient) -> None:
    assert guarded.get("/api/v1/health").status_code == 200
    assert guarded.get("/api/v1/health/").status_code in (401, 307, 404)


def test_a_token_to_read_changes_nothing(guarded: TestClient) -> None:
    write, read = bearer(guarded, Scope.WRITE), bearer(guarded, Scope.READ)
    assert guarded.post(STUDIES, json=BODY, headers=read).status_code == 403
    assert guarded.post(STUDIES, json=BODY, headers=write).status_code == 201
    for method, path in (("POST", "pause"), ("PATCH", ""), ("DELETE", "")):
        answer = guarded.request(method, f"{STUDIES}/study/{path}".rstrip("/"), json={}, headers=read)
        assert answer.status_code == 403
        assert "scope write" in answer.json()["detail"]
    assert guarded.get(f"{STUDIES}/study", headers=read).json()["state"] == "queued"


def test_a_browser_is_led_to_the_login_and_back(guarded: TestClient) -> None:
    answer = guarded.get("/launch?a=1&b=2", headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/launch%3Fa%3D1%26b%3D2")
    page = guarded.get(answer.headers["location"], headers=PAGE)
    assert 'value="/launch?a=1&amp;b=2"' in page.text
    assert "<script" not in page.text
    log_in(guarded, Scope.WRITE)
    assert guarded.get("/", headers=PAGE).status_code == 200
    assert guarded.post(STUDIES, json=BODY, headers={"origin": OWN}).status_code == 201
    assert guarded.post("/logout", headers={"origin": OWN}).headers["location"] == "/login"
    assert guarded.get("/", headers=PAGE).status_code == 303


@pytest.mark.parametrize("place", ["https://evil.example/", "//evil.example", "/\\evil.example", "", "/a\nb"])
def test_a_login_leads_nowhere_else(guarded: TestClient, place: str) -> None:
    token = bearer(guarded, Scope.READ)["authorization"].split()[1]
    answer = guarded.post("/login", data={"token": token, "next": place}, headers={"origin": OWN})
    assert answer.headers["location"] == "/"


def test_a_login_is_nothing_to_another_pages_request(guarded: TestClient) -> None:
    log_in(guarded, Scope.WRITE)
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "same-site"}, {}):
        assert guarded.post(STUDIES, json=BODY, headers=headers).status_code == 403


def test_buttons_act_for_a_login_that_may(guarded: TestClient) -> None:
    guarded.post(STUDIES, json=BODY, headers=bearer(guarded, Scope.WRITE))
    log_in(guarded, Scope.READ)
    refused = act(guarded, "pause", "study")
    assert refused.status_code == 200
    assert "may only look" in refused.text
    assert guarded.get(f"{STUDIES}/study").json()["state"] == "queued"
    guarded.cookies.clear()
    tokens.delete_token(database_of(guarded), Scope.WRITE.value)
    log_in(guarded, Scope.WRITE)
    assert "may only look" not in act(guarded, "pause", "study").text
    assert guarded.get(f"{STUDIES}/study").json()["state"] == "paused"


def test_launching_from_the_page_needs_a_login_that_may(guarded: TestClient) -> None:
    log_in(guarded, Scope.READ)
    values = {"params": BODY["params"], "model": "S3Rec", "dataset": "toy", "name": "study", "sampler": "auto", "go": 1}
    dependencies = guarded.get("/_dash-dependencies").json()
    found = next(entry for entry in dependencies if "launch-message" in entry["output"])

    def given(entries: list[dict[str, str]]) -> list[dict[str, Any]]:
        return [entry | {"value": values.get(entry["id"].removeprefix("launch-"))} for entry in entries]

    outputs = (name.rsplit(".", 1) for name in found["output"].strip(".").split("..."))
    body = {
        "output": found["output"],
        "outputs": [{"id": name, "property": what} for name, what in outputs],
        "inputs": given(found["inputs"]),
        "changedPropIds": ["launch-go.n_clicks"],
        "state": given(found["state"]),
    }
    answer = guarded.post("/_dash-update-component", json=body, headers={"origin": OWN})
    assert "may only look" in answer.text
    assert guarded.get(STUDIES).json()["total"] == 0


def test_the_printed_address_lets_in_one_browser_once(guarded: TestClient) -> None:
    doorkeeper = cast(FastAPI, guarded.app).state.doorkeeper
    secret = doorkeeper.print_secret()
    assert guarded.get("/login", params={"token": secret + "x"}).status_code == 401
    assert guarded.get("/login", params={"token": secret}).status_code == 200
    assert guarded.post(STUDIES, json=BODY, headers={"origin": OWN}).status_code == 201
    guarded.cookies.clear()
    assert guarded.get("/login", params={"token": secret}).status_code == 401


def test_what_is_remembered_of_failures_is_bounded_and_logged(
    guarded: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(access, "_MOST_ADDRESSES", 3)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(access, "_FIRST_WAIT", 0.1)
    monkeypatch.setattr(access.asyncio, "sleep", sleep)
    for _ in range(8):
        guarded.post("/login", data={"token": "wrong"})
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0])
    assert "not in force" in caplog.text
    assert "wrong" not in caplog.text
    app = create_app(Settings(auth="always"))
    for number in range(9):
        with TestClient(app, base_url=OWN, client=(f"10.0.0.{number}", 1)) as other:
            other.post("/login", data={"token": "wrong"})
    assert len(app.state.doorkeeper._failures) == 3


def test_openapi_says_how_to_be_let_in(http: TestClient) -> None:
    document = http.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert {"token": []} in document["security"]
    assert document["paths"]["/api/v1/health"]["get"]["security"] == []
