"""Following events: over a real connection, cut off and resumed, none is missed and none comes twice."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tuner.cli.server import address, bind, serving
from tuner.engine.studies import steering
from tuner.service import event_stream
from tuner.settings import Settings
from tuner.store import Database
from tuner.store.events import add_event

STUDY = {"name": "study", "model": "S3Rec", "dataset": "toy", "params": "pretrain_epochs choice [1, 2]\n"}
Happen = Callable[[str], None]


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    """A real server: a test client gives an answer only when it is complete, and these never are."""
    chosen = settings.model_copy(update={"port": 0, "log_level": "ERROR"})
    with bind(chosen) as listener, serving(chosen, listener):
        yield f"{address(chosen, listener)}/api/v1"


@pytest.fixture
def happen(url: str, settings: Settings) -> Iterator[Happen]:
    database = Database(settings.database)

    def write(message: str) -> None:
        with database.transaction() as session:
            add_event(session, None, "worker_died", message)

    yield write
    database.close()


def stream(url: str, path: str = "/events/stream", **headers: str) -> Iterator[dict[str, Any]]:
    """What a browser would make of the stream; an empty dictionary when it has begun to listen."""
    with (
        httpx.Client(timeout=60) as client,
        client.stream("GET", f"{url}{path}", headers=headers) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        found: dict[str, Any] = {}
        for line in answer.iter_lines():
            if line == ": listening":
                yield {}
            name, _, value = line.partition(": ")
            if name in ("id", "event", "data"):
                found[name] = value
            if not line and found:
                yield found
                found = {}


def message(event: dict[str, Any]) -> str:
    text: str = json.loads(event["data"])["message"]
    return text


def test_an_event_arrives_when_it_happens(url: str, happen: Happen) -> None:
    happen("before")
    listening = stream(url)
    assert next(listening) == {}
    happen("now")
    event = next(listening)
    assert (message(event), event["event"]) == ("now", "worker_died")
    assert json.loads(event["data"])["id"] == int(event["id"])
    listening.close()


def test_who_was_cut_off_gets_what_happened_meanwhile(url: str, happen: Happen) -> None:
    listening = stream(url)
    next(listening)
    happen("seen")
    last = next(listening)["id"]
    listening.close()
    for number in range(event_stream._AT_A_TIME + 5):
        happen(f"missed {number}")
    again = stream(url, **{"Last-Event-ID": last})
    next(again)
    wanted = [f"missed {number}" for number in range(event_stream._AT_A_TIME + 5)]
    assert [message(next(again)) for _ in wanted] == wanted
    again.close()


def test_two_who_listen_get_the_same(url: str, happen: Happen) -> None:
    both = [stream(url), stream(url)]
    for listening in both:
        next(listening)
    happen("one")
    happen("two")
    first, second = ([next(listening) for _ in range(2)] for listening in both)
    assert first == second
    for listening in both:
        listening.close()


def test_a_studys_stream_has_its_events_and_ends_with_it(url: str, happen: Happen, settings: Settings) -> None:
    httpx.post(f"{url}/studies", json=STUDY).raise_for_status()
    listening = stream(url, "/studies/study/events/stream?after=0")
    next(listening)
    happen("of a worker")
    assert next(listening)["event"] == "created"
    httpx.post(f"{url}/studies/study/cancel").raise_for_status()
    assert next(listening)["event"] == "cancelled"
    httpx.delete(f"{url}/studies/study").raise_for_status()
    assert list(listening) == []


def test_a_stream_ends_after_a_while_so_that_access_is_looked_at_again(
    url: str, happen: Happen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "LONGEST_SECONDS", 0.5)
    listening = stream(url)
    next(listening)
    assert list(listening) == []


def test_the_server_stops_while_somebody_listens(settings: Settings) -> None:
    chosen = settings.model_copy(update={"port": 0, "log_level": "ERROR"})
    with bind(chosen) as listener, serving(chosen, listener):
        listening = stream(f"{address(chosen, listener)}/api/v1")
        next(listening)
        ended = threading.Event()

        def wait() -> None:
            with contextlib.suppress(httpx.HTTPError):
                list(listening)
            ended.set()

        threading.Thread(target=wait, daemon=True).start()
    assert ended.wait(60)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/studies/nothing/events/stream", 404),
        ("/events/stream?after=-1", 422),
        ("/events/stream?after=9223372036854775808", 422),
    ],
)
def test_what_can_not_be_followed_is_said_before_anything_is_sent(url: str, path: str, status: int) -> None:
    answer = httpx.get(f"{url}{path}", timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_ids_of_events_are_not_given_out_again_when_a_study_is_deleted(url: str, settings: Settings) -> None:
    httpx.post(f"{url}/studies", json=STUDY).raise_for_status()
    httpx.post(f"{url}/studies/study/cancel").raise_for_status()
    newest = httpx.get(f"{url}/events").json()["items"][0]["id"]
    database = Database(settings.database)
    steering.delete_study(database, settings, "study")
    database.close()
    (left,) = httpx.get(f"{url}/events").json()["items"]
    assert (left["kind"], left["message"]) == ("deleted", "study was deleted.")
    assert left["id"] > newest
