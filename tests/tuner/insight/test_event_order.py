"""Ids of events are given out before their transactions end: whoever follows them waits for what is missing."""

from __future__ import annotations

import sqlalchemy as sa

from tuner.insight.event_order import LONGEST_TRANSACTION_SECONDS, EventOrder
from tuner.store import Database
from tuner.store.tables import Event


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def write(database: Database, *ids: int) -> None:
    with database.transaction() as session:
        for event_id in ids:
            session.add(Event(id=event_id, kind="created", message=str(event_id)))
            session.flush()


def test_events_are_known_in_their_order(database: Database) -> None:
    order = EventOrder(database)
    assert order.advance() == 0
    write(database, 1, 2, 3)
    assert order.advance() == 3


def test_a_gap_is_waited_for(database: Database) -> None:
    order = EventOrder(database, Clock())
    order.advance()
    write(database, 1, 3)
    assert order.advance() == order.advance() == 1
    write(database, 2)
    assert order.advance() == 3


def test_a_gap_that_lasts_longer_than_a_transaction_is_passed_over(database: Database) -> None:
    clock = Clock()
    order = EventOrder(database, clock)
    order.advance()
    write(database, 1, 3, 5)
    assert order.advance() == 1
    clock.now += LONGEST_TRANSACTION_SECONDS + 1
    assert order.advance() == 3
    # Each gap has its own time.
    clock.now += LONGEST_TRANSACTION_SECONDS + 1
    assert order.advance() == 5


def test_a_transaction_that_ends_late_is_seen(database: Database) -> None:
    """The same with two real transactions; SQLite has one writer at a time, and no such gap."""
    if database.engine.dialect.name == "sqlite":
        return
    order = EventOrder(database, Clock())
    order.advance()
    insert = sa.insert(Event).values(kind="created", message="", at=sa.func.now())
    with database.engine.connect() as early, database.engine.connect() as late:
        early.execute(insert)
        late.execute(insert)
        late.commit()
        assert order.advance() == 0
        early.commit()
    assert order.advance() == 2
