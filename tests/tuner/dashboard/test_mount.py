"""The dashboard on an application: which addresses are its pages, and which are not its affair."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tuner.dashboard import mount
from tuner.dashboard.components import text
from tuner.dashboard.routing import match
from tuner.settings import Settings


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    app = FastAPI()

    @app.get("/api/v1/ping")
    def ping() -> str:
        return "pong"

    mount(app, Settings(home=tmp_path))
    return TestClient(app)


@pytest.mark.parametrize("path", ["/", "/launch", "/studies/a", "/studies/a%20b/trials/3"])
def test_pages_are_one_document(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert "<title>Rectuner</title>" in answer.text
    assert "https://" not in answer.text.replace("https://dash-version", "")  # no content from elsewhere


@pytest.mark.parametrize("path", ["/api/v1/nonesuch", "/studies", "/studies/a/trials", "/nonesuch"])
def test_other_addresses_are_not_found(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/nonesuch", "/studies", "/studies/a/trials"])
def test_a_browser_is_shown_a_page_that_says_so(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"accept": "text/html,application/xhtml+xml"})
    assert answer.status_code == 404
    assert "<title>Rectuner</title>" in answer.text


@pytest.mark.parametrize("path", ["nonesuch/a.js", "dash/nonesuch.js", "x", "dash/a/b/c.js"])
def test_scripts_of_no_component_are_not_found(client: TestClient, path: str) -> None:
    assert client.get(f"/_dash-component-suites/{path}").status_code == 404


def test_routes_of_the_application_come_first(client: TestClient) -> None:
    assert client.get("/api/v1/ping").json() == "pong"


def test_assets_are_served_from_here(client: TestClient) -> None:
    assert "--accent" in client.get("/assets/style.css").text
    assert "rectunerTheme" in client.get("/assets/grid.js").text
    assert client.get("/favicon.ico").headers["content-type"].startswith("image/svg")


def test_two_applications_in_one_process(tmp_path: Path) -> None:
    for name in ("one", "two"):
        app = FastAPI()
        mount(app, Settings(home=tmp_path / name))
        assert TestClient(app).get("/_dash-dependencies").json()


def test_addresses_are_matched_by_parts() -> None:
    assert match("/studies/{name}", ["studies", "a"]) == {"name": "a"}
    assert match("/studies/{name}", ["studies"]) is None
    assert match("/", []) == {}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "–"),
        (4.26, "4.3 s"),
        (59, "59 s"),
        (192, "3 min 12 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float | None, expected: str) -> None:
    assert text.duration(seconds) == expected


def test_values_read_naturally() -> None:
    assert [text.value(v) for v in (3.0, 0.001234567, True, None, "CE", [64])] == [
        "3",
        "0.001235",
        "True",
        "None",
        "CE",
        "[64]",
    ]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "x",
        "[]",
        "null",
        "[" * 10_000,
        "{}",
        '{"output": 3, "inputs": []}',
        '{"output": "nonesuch.children", "inputs": []}',
        '{"output": "study-message.children", "outputs": [], "inputs": 3, "changedPropIds": []}',
        '{"output": "study-message.children", "outputs": [], "inputs": [], "changedPropIds": []}',
        '{"output": "study-message.children", "outputs": [], "inputs": [], "changedPropIds": [3]}',
        '{"output": "study-message.children", "outputs": 3, "inputs": [], "changedPropIds": []}',
    ],
)
def test_what_is_no_request_for_a_callback_is_refused(client: TestClient, body: str) -> None:
    answer = client.post("/_dash-update-component", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.text.endswith(".")
