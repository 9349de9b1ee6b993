from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Tuner

from tuner.store import Database
from tuner.store import events as event_rows
from tuner.store.tables import Study


@pytest.fixture
def happened(home: Path) -> None:
    """Two events of a study and one of a worker."""
    home.mkdir()
    database = Database(f"sqlite:///{home / 'tuner.db'}")
    database.upgrade()
    with database.transaction() as session:
        names = {"name": "toy-study", "optuna_name": "toy-study", "metric": "ndcg@10", "direction": "maximize"}
        session.add(Study(**names, optuna_id=1, specification={}, sampler={}, pruner={}, max_trials=1))
        session.flush()
        event_rows.add_event(session, 1, "created", "2 trials, sampler random.")
        event_rows.add_event(session, 1, "lost", "Worker 12 [of 13] is gone.", trial=3)
        event_rows.add_event(session, None, "worker_lost", "Worker 12 was not heard of.")
    database.close()


def test_a_studys_events_are_lines_the_newest_first(tuner: Tuner, happened: None) -> None:
    outcome = tuner("study", "events", "toy-study")
    assert outcome.code == 0
    lost, created = outcome.out.splitlines()
    assert lost.endswith("lost  trial 3: Worker 12 [of 13] is gone.")
    assert created.endswith("created  2 trials, sampler random.")


def test_everybodys_events_name_the_study(tuner: Tuner, happened: None) -> None:
    lines = tuner("events", "--after", 0).out.splitlines()
    assert [line.split("  ", 1)[1] for line in lines] == [
        "created  toy-study: 2 trials, sampler random.",
        "lost  toy-study trial 3: Worker 12 [of 13] is gone.",
        "worker_lost  Worker 12 was not heard of.",
    ]


def test_events_as_json_of_one_kind(tuner: Tuner, happened: None) -> None:
    (event,) = json.loads(tuner("study", "events", "toy-study", "--kind", "lost", "--json").out)
    assert (event["id"], event["trial"], event["study"]) == (2, 3, "toy-study")


def test_an_unknown_kind_is_refused_with_those_that_there_are(tuner: Tuner, happened: None) -> None:
    outcome = tuner("events", "--kind", "lots")
    assert outcome.code == 2
    assert "no kind of event" in outcome.err
    assert "worker_died" in outcome.err
