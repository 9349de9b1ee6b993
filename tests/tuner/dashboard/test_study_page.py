"""The study's page: which rows, which buttons, which events it shows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from callbacks_over_http import Dashboard

from tuner.dashboard.components.trials_grid import PER_PAGE
from tuner.dashboard.pages.study_actions import hidden
from tuner.insight import get_study
from tuner.store import StudyState
from tuner.store import events as event_rows
from tuner.store import studies as study_rows

MANY = "finetune.learning_rate choice [" + ", ".join(f"0.{n:03}" for n in range(1, PER_PAGE + 11)) + "]"


def ordinals(answer: dict[str, Any]) -> list[int]:
    """Of trials that have not begun, the places in the list."""
    return [int(row["key"].removeprefix("waiting-")) for row in answer["trials"]["rowData"]]


def test_pages_of_trials_follow_each_other(dashboard: Dashboard) -> None:
    dashboard.launch("many", params=MANY)
    shown: list[str] = []
    for page in (1, 2):
        values = {"trials_page.value": page, "study_name.data": "many"}
        answer = dashboard.change("/studies/many", "trials.rowData", "trials-page.value", values)
        assert answer["trials-page"] == {"total": 2}
        assert answer["trials-total"] == {"children": f"{PER_PAGE + 10}"}
        found = ordinals(answer)
        assert found[0] == (page - 1) * PER_PAGE
        shown += [row["p_finetune__learning_rate"] for row in answer["trials"]["rowData"]]
    assert len(shown) == len(set(shown)) == PER_PAGE + 10


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        ("queued", {"pause", "stop", "cancel"}),
        ("running", {"pause", "stop", "cancel"}),
        ("paused", {"resume", "stop", "cancel"}),
        ("stopping", {"cancel"}),
        ("stopped", {"resume"}),
        ("completed", set()),
        ("cancelled", set()),
        ("failed", set()),
    ],
)
def test_the_buttons_are_those_of_the_state(dashboard: Dashboard, state: str, offered: set[str]) -> None:
    dashboard.launch("one")
    with dashboard.database.transaction() as session:
        study_rows.find_study(session, "one").state = StudyState(state)
    found = hidden(get_study(dashboard.database, "one"))
    verbs = ("pause", "resume", "stop", "cancel")
    assert {verb for verb, is_hidden in zip(verbs, found, strict=True) if not is_hidden} == offered


def test_events_are_listed_the_newest_first_and_paged(dashboard: Dashboard) -> None:
    dashboard.launch("one")
    with dashboard.database.transaction() as session:
        study = study_rows.find_study(session, "one")
        for number in range(14):
            event_rows.add_event(session, study.id, "lost", f"Loss <b>{number}</b>.", trial=number)
        event_rows.add_event(session, None, "worker_lost", "Of no study.")
    answer = dashboard.change("/studies/one", "events.children", "events-page.value", {"events_page.value": 1})
    assert (answer["events-total"], answer["events-page"]) == ({"children": "15"}, {"total": 2})
    text = json.dumps(answer["events"])
    assert "Loss <b>13</b>." in text
    assert "Loss <b>4</b>." in text
    assert "Loss <b>3</b>." not in text
    assert "/studies/one/trials/13" in text
    assert " UTC" in text
    last = dashboard.change("/studies/one", "events.children", "events-page.value", {"events_page.value": 2})
    assert "Loss <b>0</b>." in json.dumps(last["events"])
    assert "created" in json.dumps(last["events"])
    assert "Of no study." not in text + json.dumps(last["events"])
