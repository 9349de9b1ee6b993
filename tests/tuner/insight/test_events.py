from __future__ import annotations

import pytest

from tuner.errors import StudyNotFound
from tuner.insight import EventSummary, list_events
from tuner.insight.summaries import Page
from tuner.store import Database
from tuner.store import events as event_rows
from tuner.store.tables import Study


@pytest.fixture
def happened(database: Database) -> Database:
    """Two studies: three events of the first, one of the second, one of neither."""
    with database.transaction() as session:
        for name in ("one", "two"):
            names = {"name": name, "optuna_name": name, "metric": "ndcg@10", "direction": "maximize"}
            session.add(Study(**names, optuna_id=1, specification={}, sampler={}, pruner={}, max_trials=1))
        session.flush()
        event_rows.add_event(session, 1, "created", "first")
        event_rows.add_event(session, 1, "lost", "second", trial=3)
        event_rows.add_event(session, 2, "created", "third")
        event_rows.add_event(session, None, "worker_lost", "fourth")
        event_rows.add_event(session, 1, "lost", "fifth", trial=4)
    return database


def messages(page: Page[EventSummary]) -> list[str]:
    return [event.message for event in page.items]


def test_the_newest_event_is_first_and_all_are_there(happened: Database) -> None:
    page = list_events(happened)
    assert messages(page) == ["fifth", "fourth", "third", "second", "first"]
    assert [event.study for event in page.items] == ["one", None, "two", "one", "one"]
    assert (page.total, page.items[0].kind, page.items[0].trial, page.items[1].trial) == (5, "lost", 4, None)
    assert page.items[0].at.tzinfo is not None


def test_a_study_has_its_own_events(happened: Database) -> None:
    assert messages(list_events(happened, "one")) == ["fifth", "second", "first"]
    assert messages(list_events(happened, 2)) == ["third"]
    with pytest.raises(StudyNotFound):
        list_events(happened, "three")


def test_events_are_kept_by_kind_and_by_trial(happened: Database) -> None:
    assert messages(list_events(happened, kind="created")) == ["third", "first"]
    assert messages(list_events(happened, "one", kind="lost", trial=3)) == ["second"]
    with pytest.raises(ValueError, match=r"There is no kind of event 'lots'\. Kinds: created, "):
        list_events(happened, kind="lots")


def test_events_are_paged_from_both_ends(happened: Database) -> None:
    page = list_events(happened, limit=2, offset=1)
    assert (messages(page), page.total, page.limit, page.offset) == (["fourth", "third"], 5, 2, 1)
    begun = list_events(happened, after=0, limit=2)
    assert messages(begun) == ["first", "second"]
    assert messages(list_events(happened, after=begun.items[-1].id)) == ["third", "fourth", "fifth"]
    assert messages(list_events(happened, after=10**6)) == []
