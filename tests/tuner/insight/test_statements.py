"""How often a page asks the database: no more for many trials than for few."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from tuner import insight
from tuner.insight import series
from tuner.store import Database

if TYPE_CHECKING:
    from tests.tuner.insight.conftest import Filled

# What each asks at most of a study that runs, has trials in every state, and one shared stage.
MOST: dict[str, tuple[Callable[[Database], object], int]] = {
    "list_studies": (lambda database: insight.list_studies(database), 19),
    "get_study": (lambda database: insight.get_study(database, "study"), 18),
    "list_trials": (lambda database: insight.list_trials(database, "study"), 5),
    "get_trial": (lambda database: insight.get_trial(database, "study", 1), 7),
    "list_stages": (lambda database: insight.list_stages(database, "study"), 7),
    "cache_use": (lambda database: insight.cache_use(database), 3),
    "activity": (lambda database: series.activity(database, "study"), 4),
    "history": (lambda database: series.history(database, "study"), 2),
    "valid_curves": (lambda database: series.valid_curves(database, "study"), 4),
    "shared_curves": (lambda database: series.shared_curves(database, "study"), 4),
    "sample": (lambda database: series.sample(database, "study"), 3),
}


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """Statements that are executed in the block."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        # PostgreSQL is asked for the time; beside SQLite's file it is this machine's.
        if not statement.startswith(("BEGIN", "PRAGMA")) and "clock_timestamp" not in statement:
            found.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


@pytest.mark.parametrize("page", MOST)
def test_a_page_asks_the_database_no_more_often_than_it_did(filled: Filled, page: str) -> None:
    look, most = MOST[page]
    with counted(filled.database) as statements:
        look(filled.database)
    assert 0 < len(statements) <= most, "\n".join(statements)
