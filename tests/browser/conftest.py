"""A real service in a process of its own, and a real browser that may talk to nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from model.data import synthetic

sync_api = pytest.importorskip("playwright.sync_api")

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A name that is nobody's, so that a foreign name can lead to this machine.
    "--host-resolver-rules=MAP rebound.example 127.0.0.1",
]
_START_SECONDS = 180.0


@dataclass(frozen=True)
class Service:
    """A running service and where it keeps its files."""

    url: str
    home: Path
    token: str | None = None

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.home / 'tuner.db'}"

    @property
    def headers(self) -> dict[str, str]:
        """What a program sends along."""
        return {} if self.token is None else {"authorization": f"Bearer {self.token}"}

    def launch(self, **study: Any) -> None:
        """Launch a study through the REST API."""
        answer = httpx.post(
            f"{self.url}/api/v1/studies", json={"model": "S3Rec", "dataset": "walks"} | study, headers=self.headers
        )
        assert answer.status_code == 201, answer.text

    def act(self, name: str, verb: str) -> None:
        """Pause, resume, stop or cancel a study."""
        httpx.post(f"{self.url}/api/v1/studies/{name}/{verb}").raise_for_status()

    def state_of(self, name: str) -> str | None:
        """The study's state, None when there is no such study."""
        answer = httpx.get(f"{self.url}/api/v1/studies/{name}", headers=self.headers)
        return str(answer.json()["state"]) if answer.is_success else None


@pytest.fixture(scope="module")
def start_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Service]]:
    """Starts services with a number of workers; all are stopped at the end of the module."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(workers: int) -> Service:
        home = tmp_path_factory.mktemp("service")
        synthetic.write(home / "data", "walks", users=60, items=40, classes=4, events=10, seed=1)
        environment = os.environ | {
            "TUNER_HOME": str(home),
            "TUNER_DATA_ROOT": str(home / "data"),
            "TUNER_WORKERS": str(workers),
        }
        with (home / "service.log").open("wb") as log:
            # The service takes a free port itself: between a look for one and its use somebody else may take it.
            command = [sys.executable, "-m", "tuner", "serve", "--port", "0"]
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return Service(_address(home / "service.log", processes[-1]), home)

    yield start
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(timeout=120)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium: the one that TUNER_CHROMIUM names, else one on the path."""
    named = os.environ.get("TUNER_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if found is None:
        pytest.skip(f"No browser: set TUNER_CHROMIUM, or put one of {', '.join(_CHROMIUM)} on the path.")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that must not print an error, raise, or ask anything of another host."""
    problems: list[str] = []
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url) if _is_foreign(request.url) else None)
    yield page
    context.close()
    assert problems == []


def _is_foreign(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:"))


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the service listens, once it answers."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        with suppress(httpx.TransportError):
            if found is not None and httpx.get(found.group()).is_success:
                return found.group()
        time.sleep(0.2)
    pytest.fail(log.read_text())
