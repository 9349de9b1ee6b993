from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from tuner.engine.patience import may_pass, patiently, sqlite_error, transact
from tuner.store import Database, Session
from tuner.store.tables import Event


@pytest.fixture
def file(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path / 'tuner.db'}")
    database.upgrade()
    return database


def test_a_full_disk_is_said_at_once(file: Database) -> None:
    """A file that may not grow raises what a full disk raises."""
    tried = 0

    def fill() -> None:
        nonlocal tried
        tried += 1
        with file.transaction() as session:
            pages = session.connection().exec_driver_sql("PRAGMA page_count").scalar()
            session.connection().exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            session.execute(sa.insert(Event), [{"kind": "k", "message": "m" * 100_000}])

    with pytest.raises(OperationalError) as raised:
        patiently(fill)
    assert (sqlite_error(raised.value), tried) == ("SQLITE_FULL", 1)
    file.close()


def test_a_database_that_is_busy_is_waited_for(file: Database) -> None:
    tried = 0

    def write() -> int:
        nonlocal tried
        tried += 1
        if tried == 1:
            with file.transaction() as session:
                session.add(Event(kind="k", message="m"))
                session.flush()
                other = Database(f"sqlite:///{file.url.database}")
                with other.engine.connect() as connection:
                    connection.exec_driver_sql("PRAGMA busy_timeout = 0")
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
        return tried

    assert patiently(write) == 2
    file.close()


def test_a_step_is_one_transaction_each_time_that_it_is_tried(file: Database) -> None:
    tried = 0

    def write(session: Session) -> int:
        nonlocal tried
        tried += 1
        session.add(Event(kind="k", message=f"try {tried}"))
        session.flush()
        if tried == 1:
            other = Database(f"sqlite:///{file.url.database}")
            with other.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA busy_timeout = 0")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
        return tried

    assert transact(file, write) == 2
    with file.session() as session:
        assert session.scalars(sa.select(Event.message)).all() == ["try 2"]
    file.close()


def test_only_what_a_database_says_may_pass() -> None:
    assert not may_pass(OSError("the disk"))
    assert not may_pass(RuntimeError("the trial"))
