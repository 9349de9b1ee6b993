"""The typed client over the real application; only the socket between them is missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from tuner.client import _FORMATS, ApiError, Client, Form, Format
from tuner.insight.configuration import FORMS
from tuner.insight.export import FORMATS
from tuner.insight.snapshot import MOST_ENDED
from tuner.service.app import create_app
from tuner.settings import Settings
from tuner.store import Database, TrialState
from tuner.store.tables import Slot, utc_now

TRIALS = MOST_ENDED + 5
STUDY = {"name": "study", "model": "S3Rec", "dataset": "toy", "params": f"seed choice {list(range(TRIALS))}\n"}


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    """The client, speaking to the real application in this process."""
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000/api/v1") as http:
        client = Client("http://127.0.0.1:8000")
        client._http = http
        yield client


def test_a_snapshot_has_the_trials_that_ended_last(client: Client, settings: Settings) -> None:
    client.create_study(STUDY)
    database = Database(settings.database)
    begun = utc_now()
    with database.transaction() as session:
        for slot in session.scalars(sa.select(Slot)):
            slot.optuna_number, slot.state = slot.ordinal, TrialState.FAILED
            slot.ended_at = begun + timedelta(seconds=slot.ordinal)
    database.close()
    ended = client.snapshot("study").ended
    assert [trial.number for trial in ended] == list(range(TRIALS - 1, TRIALS - 1 - MOST_ENDED, -1))


def test_events_are_followed(client: Client) -> None:
    client.create_study(STUDY)
    (created,) = client.list_events("study").items
    client.act("study", "pause")
    assert [event.kind for event in client.list_events("study", after=created.id).items] == ["paused"]
    assert [event.kind for event in client.list_events(kind="created").items] == ["created"]


def test_what_the_service_refuses_is_an_error_with_its_problem(client: Client) -> None:
    with pytest.raises(ApiError, match="no study") as caught:
        client.get_study("none")
    assert (caught.value.status, caught.value.problem["title"]) == (404, "There is no such study")
    with pytest.raises(ApiError, match="Did you mean n_layers") as caught:
        client.create_study(STUDY | {"params": "n_layer choice [1]\nn_head choice [1]\n"})
    assert [error["line"] for error in caught.value.problem["errors"]] == [1, 2]


def test_what_is_taken_away_from_a_study(client: Client, settings: Settings, tmp_path: Path) -> None:
    client.create_study(STUDY)
    for chosen in get_args(Format):
        client.export("study", tmp_path / chosen, chosen)
    assert (tmp_path / "csv").read_bytes().count(b"\r\n") == TRIALS + 1
    assert "data" in client.get_plot("study", "optimization_history")
    for form in get_args(Form):
        with pytest.raises(ApiError, match="No trial of study has completed"):
            client.get_configuration("study", form=form)
    with pytest.raises(ApiError, match="no trial 7"):
        client.get_configuration("study", 7)


def test_a_file_is_not_begun_when_the_service_refuses(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ApiError) as refused:
        client.export("nothing", tmp_path / "trials.csv")
    assert refused.value.status == 404
    assert list(tmp_path.iterdir()) == [tmp_path / "home"]


def test_the_client_knows_every_form_of_the_service() -> None:
    assert get_args(Form) == tuple(FORMS)
    assert {name: chosen.media_type for name, chosen in FORMATS.items()} == _FORMATS
