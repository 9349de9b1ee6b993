"""The real service and the real worker on a small data set, for inputs that once went wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from tuner.cli.app import main
from tuner.engine.work.entry import run_worker
from tuner.service.app import create_app
from tuner.settings import Settings

FIELD = Path(__file__).parent
# One epoch of each stage of a very small model.
FAST = {
    "pretrain_epochs": 1,
    "epochs": 1,
    "train_batch_size": 64,
    "hidden_size": 16,
    "inner_size": 16,
    "n_layers": 1,
    "n_heads": 1,
}

Launch = Callable[..., Response]
Tuner = Callable[..., tuple[int, str]]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation of its own; everything runs in an empty folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("TUNER_HOME", str(tmp_path / "home"))
    data = tmp_path / "dataset"  # a copy: prepared data sets are kept beside what they were made from
    shutil.copytree(FIELD / "dataset", data)
    monkeypatch.setenv("TUNER_DATA_ROOT", str(data))
    monkeypatch.setenv("COLUMNS", "200")
    return Settings(home=tmp_path / "home", data_root=data, workers=0, roots=str(work))


@pytest.fixture
def http(settings: Settings) -> Iterator[TestClient]:
    """The real application, without workers."""
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
def launch(http: TestClient) -> Launch:
    """Launch a study over REST: ``launch(params, config=..., **fields)``; the answer as it came."""

    def post(params: str, *, config: dict[str, Any] | None = None, **fields: Any) -> Response:
        body = {"name": "study", "model": "S3Rec", "dataset": "t", "params": params} | fields
        searched = {line.split()[0] for line in params.splitlines() if line.strip()}
        fixed = {key: value for key, value in FAST.items() if key not in searched}
        return http.post("/api/v1/studies", json=body | {"config": fixed | (config or {})})

    return post


@pytest.fixture
def run_all(settings: Settings) -> Callable[[], None]:
    """Run every trial that waits, in this process."""
    return lambda: run_worker(settings, exit_when_idle=True)


@pytest.fixture
def tuner(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Tuner:
    """The command in this process: exit code and everything that it printed."""

    def run(*arguments: object) -> tuple[int, str]:
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run
