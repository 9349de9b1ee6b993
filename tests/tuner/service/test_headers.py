"""What every answer tells the browser."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from tuner.service import headers
from tuner.service.app import create_app
from tuner.settings import Settings

PATHS = ["/", "/docs", "/assets/style.css", "/api/v1/health", "/api/v1/nonesuch", "/nonesuch"]


def assert_safe(found: dict[str, str]) -> None:
    assert found["x-content-type-options"] == "nosniff"
    assert found["referrer-policy"] == "same-origin"
    assert found["cross-origin-resource-policy"] == "same-origin"
    policy = found["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "unsafe-inline" not in scripts
    assert "http" not in scripts


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_the_headers(http: TestClient, path: str) -> None:
    assert_safe(dict(http.get(path).headers))


def test_refusals_and_unforeseen_errors_have_them_too(settings: Settings) -> None:
    app = create_app(settings)

    @app.get("/api/v1/broken")
    def broken() -> None:
        raise RuntimeError

    app.router.routes.insert(0, app.router.routes.pop())  # before the dashboard, which takes the rest
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as http:
        answer = http.get("/api/v1/broken")
        assert answer.status_code == 500
        assert_safe(dict(answer.headers))
        assert_safe(dict(http.get("/", headers={"host": "evil.example"}).headers))


@pytest.mark.parametrize("path", ["/", "/launch", "/docs"])
def test_the_policy_allows_the_inline_scripts_that_a_page_has(http: TestClient, path: str) -> None:
    answer = http.get(path)
    inline = headers.hashes(answer.text)
    assert inline
    for found in inline:
        assert found in answer.headers["content-security-policy"]
