"""Which requests are answered, by the name of the service and by the page that sent them."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from tuner.service.app import create_app
from tuner.settings import Settings

STUDIES = "/api/v1/studies"
OWN = "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8000", "localhost:1234", "rectuner.localhost", "[::1]:8000", "10.0.0.7:8000"]
)
def test_loopback_names_and_addresses_are_answered(http: TestClient, host: str) -> None:
    assert http.get(STUDIES, headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8000",
        "xlocalhost",
        "127.0.0.1@evil.example",
        "",
    ],
)
@pytest.mark.parametrize("path", [STUDIES, "/", "/assets/style.css", "/api/v1/health"])
def test_foreign_names_are_refused_whatever_is_asked(http: TestClient, host: str, path: str) -> None:
    answer = http.get(path, headers={"host": host})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert "TUNER_HOSTS" in answer.json()["detail"]


def test_a_configured_name_is_answered(settings: Settings) -> None:
    named = settings.model_copy(update={"hosts": "tuner.example.org, other"})
    with TestClient(create_app(named), base_url=OWN) as http:
        for host in ("tuner.example.org", "Tuner.Example.Org:8000", "other"):
            assert http.get(STUDIES, headers={"host": host}).status_code == 200
        assert http.get(STUDIES, headers={"host": "example.org"}).status_code == 403


# What browsers send with what a foreign page makes them send, and old ones without Sec-Fetch-Site.
FOREIGN = [
    {"sec-fetch-site": "cross-site", "origin": "http://evil.example"},
    {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:9000"},
    {"sec-fetch-site": "cross-site", "origin": OWN},
    {"sec-fetch-site": "cross-site", "authorization": "Basic eDp4"},
    {"origin": "http://evil.example"},
    {"origin": "http://127.0.0.1:9000"},
    {"origin": "http://127.0.0.1"},
    {"origin": "null"},
    {"origin": ""},
    {"cookie": "rectuner=x"},
    {"referer": "http://evil.example/"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", STUDIES),
        ("POST", f"{STUDIES}/a/cancel"),
        ("PATCH", f"{STUDIES}/a"),
        ("DELETE", f"{STUDIES}/a"),
        ("PUT", f"{STUDIES}/a"),
        ("POST", "/_dash-update-component"),
    ],
)
def test_what_another_page_asks_for_is_refused(
    http: TestClient, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = http.request(method, path, headers=headers, json={})
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers",
    [
        {},  # curl, tuner.client
        {"sec-fetch-site": "same-origin", "origin": OWN, "cookie": "a=b", "referer": f"{OWN}/launch"},
        {"sec-fetch-site": "none"},
        {"origin": OWN, "referer": f"{OWN}/launch"},  # a browser where the address is neither https nor loopback
        {"authorization": "Bearer x", "origin": "http://other.example", "sec-fetch-site": "cross-site"},
    ],
    ids=str,
)
def test_programs_and_our_own_pages_are_answered(http: TestClient, headers: dict[str, str]) -> None:
    assert http.delete(f"{STUDIES}/nonesuch", headers=headers).status_code == 404


def test_a_default_port_may_be_left_out(http: TestClient) -> None:
    for host, origin in (("a.localhost", "http://a.localhost:80"), ("a.localhost:80", "http://a.localhost")):
        answer = http.delete(f"{STUDIES}/nonesuch", headers={"host": host, "origin": origin})
        assert answer.status_code == 404


def test_reading_is_not_asked_for_its_origin(http: TestClient) -> None:
    """Other pages can't read the answer; and links from elsewhere lead here."""
    assert http.get("/", headers=FOREIGN[0]).status_code == 200
