"""When a supervisor starts workers; how they run is in test_processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import sqlalchemy as sa

from tuner.engine.fleet.supervisor import Supervisor
from tuner.engine.studies import steering
from tuner.settings import Settings
from tuner.store import Database, claims
from tuner.store.tables import Event, Worker

Create = Callable[..., int]


class Here:
    """A place whose workers never begin: they live, or die as soon as they are started."""

    def __init__(self, *, alive: bool) -> None:
        self.alive, self.started = alive, 0
        self._workers: list[str] = []

    def start(self, _settings: Settings) -> str:
        self.started += 1
        self._workers.append(f"w{self.started}")
        return self._workers[-1]

    def list(self) -> dict[str, bool]:
        found = dict.fromkeys(self._workers, self.alive)
        self._workers = self._workers if self.alive else []
        return found

    def stop(self, worker_id: str, *, kill: bool = False) -> None:
        self._workers = [worker for worker in self._workers if worker != worker_id]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


Supervise = Callable[[Here, int], Supervisor]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def supervise(database: Database, settings: Settings, clock: Clock) -> Iterator[Supervise]:
    made: list[Supervisor] = []

    def make(place: Here, workers: int) -> Supervisor:
        made.append(Supervisor(settings.model_copy(update={"workers": workers}), place, clock))
        return made[-1]

    yield make
    for supervisor in made:
        supervisor.stop()


def starts(supervisor: Supervisor, place: Here, clock: Clock, seconds: int) -> list[float]:
    """When workers were started, with a look every second."""
    times = []
    for _ in range(seconds):
        before = place.started
        supervisor._round()
        times += [clock.now] * (place.started - before)
        clock.now += 1.0
    return times


def test_without_work_no_worker_is_started(supervise: Supervise, clock: Clock) -> None:
    place = Here(alive=True)
    assert starts(supervise(place, 3), place, clock, 5) == []


def test_no_more_workers_are_started_than_trials_can_run(supervise: Supervise, create: Create, clock: Clock) -> None:
    create(space={"width": [4, 8]})
    place = Here(alive=True)
    assert starts(supervise(place, 3), place, clock, 5) == [0.0, 0.0]


def test_no_more_workers_are_started_than_are_wanted(supervise: Supervise, create: Create, clock: Clock) -> None:
    create(space={"width": [2, 4, 8]})
    place = Here(alive=True)
    assert starts(supervise(place, 2), place, clock, 5) == [0.0, 0.0]


def test_a_paused_study_starts_no_worker(
    database: Database, supervise: Supervise, create: Create, clock: Clock
) -> None:
    steering.pause(database, create())
    place = Here(alive=True)
    assert starts(supervise(place, 2), place, clock, 5) == []


def test_a_worker_that_dies_is_named_with_its_host_and_trial(
    database: Database, supervise: Supervise, create: Create, clock: Clock
) -> None:
    create()
    place = Here(alive=True)
    supervisor = supervise(place, 1)
    supervisor._round()
    with database.transaction() as session:
        session.add(Worker(id="w1", host="node", pid=7, lease_expires=database.now(session) + 60))
        session.flush()
        claimed = claims.claim(session, database.now(session), "w1", 60.0)
        assert claimed is not None
        assert claims.link(session, claimed, 0)
    place.alive, clock.now = False, 90.0
    supervisor._round()
    with database.session() as session:
        kinds = ("worker_died", "lost")
        found = session.scalars(sa.select(Event).where(Event.kind.in_(kinds)).order_by(Event.id)).all()
    assert [(event.kind, event.trial, event.message) for event in found] == [
        ("worker_died", None, "Worker w1 (process 7 on node) died after 90 s, with trial 0 of study."),
        ("lost", 0, "Worker w1 (process 7 on node) is gone, which ran trial 0; it will be continued (loss 1)."),
    ]


def test_the_pause_between_workers_that_die_before_they_begin_doubles_up_to_a_minute(
    supervise: Supervise, create: Create, clock: Clock
) -> None:
    create()
    place = Here(alive=False)
    times = starts(supervise(place, 1), place, clock, 190)
    # A death is seen a second after the start, and the pause counts from there.
    pauses = [after - before - 1.0 for before, after in pairwise(times)]
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
