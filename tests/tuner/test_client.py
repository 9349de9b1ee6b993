"""The typed client over the real application."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from model.data import synthetic
from tuner.client import ApiError, Client
from tuner.insight import snapshot
from tuner.service.app import create_app
from tuner.settings import Settings
from tuner.store import TrialState
from tuner.store.tables import Slot, utc_now

ADDRESS = "http://127.0.0.1:8000"
STUDY = {"name": "s", "model": "S3Rec", "dataset": "toy", "params": "seed quniform 1,30,1\n"}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client of an application without workers; only the socket between them is missing."""
    synthetic.write(tmp_path / "data", "toy", users=40, items=20, classes=4, events=8, seed=1)
    monkeypatch.setenv("TUNER_DATA_ROOT", str(tmp_path / "data"))
    settings = Settings(home=tmp_path / "home", data_root=tmp_path / "data", workers=0)
    with TestClient(create_app(settings), base_url=f"{ADDRESS}/api/v1") as http:
        client = Client(ADDRESS)
        client.close()
        client._http = http
        yield client


def test_a_snapshot_has_the_trials_that_ended_last(client: Client) -> None:
    client.create_study(STUDY)
    database = client._http.app.state.database  # type: ignore[attr-defined]
    with database.transaction() as session:
        for number, slot in enumerate(session.scalars(sa.select(Slot).order_by(Slot.ordinal))):
            ended = utc_now() + timedelta(minutes=number)
            slot.state, slot.optuna_number, slot.ended_at = TrialState.COMPLETED, number, ended
    found = client.snapshot("s")
    assert [trial.number for trial in found.ended] == list(range(29, 29 - snapshot.MOST_ENDED, -1))
    assert found.ended == snapshot.take(database, "s").ended
    assert found.running == ()


def test_what_the_service_refuses_is_an_error_with_its_problem(client: Client) -> None:
    with pytest.raises(ApiError, match="no study") as caught:
        client.get_study("none")
    assert (caught.value.status, caught.value.problem["title"]) == (404, "There is no such study")
    with pytest.raises(ApiError, match="Did you mean n_layers") as caught:
        client.create_study(STUDY | {"params": "n_layer choice [1]\nn_head choice [1]\n"})
    assert [error["line"] for error in caught.value.problem["errors"]] == [1, 2]
