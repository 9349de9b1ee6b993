"""The real application without workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from callbacks_over_http import Dashboard
from fastapi.testclient import TestClient

from model.data import synthetic
from tuner.service.app import create_app
from tuner.settings import Settings


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    synthetic.write(root, "toy", users=40, items=20, classes=4, events=8, seed=1)
    return root


@pytest.fixture
def dashboard(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dashboard]:
    """The real application on a real database, without workers."""
    monkeypatch.setenv("TUNER_DATA_ROOT", str(data_root))
    settings = Settings(home=tmp_path / "home", data_root=data_root, workers=0)
    app = create_app(settings)
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield Dashboard(client, app, settings)
