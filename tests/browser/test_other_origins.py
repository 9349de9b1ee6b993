"""Pages of another origin (another port is one) in a real browser: what they ask for is not done."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tuner.store import Database, tokens

if TYPE_CHECKING:
    from tests.browser.conftest import Service

pytestmark = pytest.mark.browser

STUDY = {"name": "planted", "model": "S3Rec", "dataset": "walks", "params": "hidden_dropout_prob choice [0.1, 0.2]"}


@pytest.fixture(scope="module", params=["nobody is asked", "logged in"])
def service(request: pytest.FixtureRequest, start_service: Callable[[int], Service]) -> Service:
    """On loopback without a token, and where the browser that visits the foreign page has a valid login."""
    service = start_service(0)
    if request.param == "nobody is asked":
        return service
    database = Database(service.database_url)
    token = tokens.create_token(database, "browser", tokens.Scope.WRITE)
    database.close()
    return replace(service, token=token)


@pytest.fixture(scope="module")
def other_origin() -> Iterator[str]:
    """A page that somebody happens to visit."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!DOCTYPE html><title>other</title><body></body>")

        def log_message(self, *_: Any) -> None:
            """Quietly."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def visit(browser: Any, other_origin: str, service: Service) -> Iterator[Any]:
    """The foreign page; the console may complain here."""
    context = browser.new_context()
    page = context.new_page()
    if service.token is not None:
        log_in(page, service)
    page.goto(other_origin)
    yield page
    context.close()


def log_in(page: Any, service: Service) -> None:
    """With the token, as a person does."""
    page.goto(f"{service.url}/launch")
    page.get_by_label("Token").fill(service.token)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name="Launch a study").wait_for()


def studies(service: Service) -> list[str]:
    found = httpx.get(f"{service.url}/api/v1/studies", headers=service.headers)
    return [study["name"] for study in found.json()["items"]]


def submit_form(page: Any, address: str, fields: dict[str, str]) -> int:
    """Post a hidden form, as a page does without asking anybody; the status of the answer."""
    with page.expect_response(lambda response: response.url == address) as answered:
        page.evaluate(
            """([address, fields]) => {
                const form = document.createElement("form");
                Object.assign(form, {method: "POST", action: address, enctype: "multipart/form-data"});
                for (const [name, value] of Object.entries(fields)) {
                    const field = document.createElement("input");
                    Object.assign(field, {type: "hidden", name, value});
                    form.append(field);
                }
                document.body.append(form);
                form.submit();
            }""",
            [address, fields],
        )
    return int(answered.value.status)


def test_a_hidden_form_launches_nothing(service: Service, visit: Any) -> None:
    assert submit_form(visit, f"{service.url}/api/v1/studies", STUDY) == 403
    assert studies(service) == []


def test_a_fetch_launches_and_reads_nothing(service: Service, visit: Any) -> None:
    address = f"{service.url}/api/v1/studies"
    ask = """([address, options]) => fetch(address, options).then(
        answer => answer.type === "opaque" ? "opaque" : answer.text(), error => "refused")"""
    simple = {"method": "POST", "mode": "no-cors", "body": json.dumps(STUDY), "credentials": "include"}
    # "no-cors" would be opaque; that even this much can't be had is Cross-Origin-Resource-Policy's doing.
    assert visit.evaluate(ask, [address, simple]) == "refused"
    for method in ("GET", "POST", "PATCH", "DELETE"):
        options = {"method": method, "credentials": "include"}
        assert visit.evaluate(ask, [address, options]) == "refused"
    bearing = {"method": "POST", "headers": {"authorization": "Bearer x"}}
    assert visit.evaluate(ask, [address, bearing]) == "refused"
    callback = f"{service.url}/_dash-update-component"
    assert visit.evaluate(ask, [callback, simple]) == "refused"
    assert studies(service) == []


def test_a_foreign_name_reads_nothing(service: Service, visit: Any, other_origin: str) -> None:
    """What DNS rebinding comes to: the page's own name leads to the service, and to the browser it is one origin."""
    port = service.url.rpartition(":")[2]
    page = visit.context.new_page()
    answer = page.goto(f"http://rebound.example:{port}/api/v1/studies")
    assert answer.status == 403
    assert "rebound.example" in answer.text()
    for method in ("GET", "POST", "DELETE"):
        ask = "method => fetch('/api/v1/studies', {method}).then(answer => answer.status)"
        assert page.evaluate(ask, method) == 403


def test_a_login_works_and_ends(service: Service, page: Any) -> None:
    """Without an error in the console (``page``), so that the login's pages keep to the policy."""
    if service.token is None:
        page.goto(f"{service.url}/login")
        assert page.url == f"{service.url}/"  # nobody has to
        return
    log_in(page, service)
    assert page.url == f"{service.url}/launch"
    cookie = page.context.cookies()[0]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert cookie["value"] not in page.evaluate("document.cookie")
    page.goto(f"{service.url}/login")
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Token").wait_for()
    page.goto(service.url)
    page.get_by_label("Token").wait_for()


def test_the_service_is_not_shown_in_a_frame(service: Service, visit: Any) -> None:
    visit.evaluate(
        """address => {
            const frame = document.createElement("iframe");
            frame.src = address;
            document.body.append(frame);
            return new Promise(resolve => frame.addEventListener("load", resolve));
        }""",
        f"{service.url}/launch",
    )
    framed = visit.frames[-1]
    assert framed.url.startswith("chrome-error:")
    assert framed.locator("#launch-go").count() == 0
