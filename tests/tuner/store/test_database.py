from __future__ import annotations

import multiprocessing
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from tuner.errors import DatabaseError
from tuner.store import Database, facts, schema
from tuner.store.states import WorkerState
from tuner.store.tables import Base, Event, Slot, Worker


def upgrade(url: str) -> None:
    database = Database(url)
    database.upgrade()
    database.close()


def test_migrations_make_the_tables_that_the_program_declares(database: Database) -> None:
    def ours(_object: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
        return kind != "table" or (str(name).startswith("rectuner_") and name != schema.VERSION_TABLE)

    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours})
        assert compare_metadata(context, Base.metadata) == []


def test_upgrading_twice_changes_nothing(database: Database) -> None:
    database.upgrade()
    with database.engine.connect() as connection:
        assert schema.version(connection) == schema.head()


def test_the_versions_that_are_read_from_the_files_names_are_alembics() -> None:
    script = ScriptDirectory.from_config(schema._config())
    assert script.get_heads() == [schema.head()]
    assert {revision.revision for revision in script.walk_revisions()} == schema._known()


def test_another_optuna_looks_at_its_tables_again(database: Database) -> None:
    with database.transaction() as session:
        assert facts.read(session, "optuna") == version("optuna")
        facts.write(session, "optuna", "4.0.0")
        session.execute(sa.text("DROP TABLE trial_heartbeats"))
    database.upgrade()
    with database.session() as session:
        assert facts.read(session, "optuna") == version("optuna")
        assert sa.inspect(session.connection()).has_table("trial_heartbeats")


def test_processes_that_start_together_upgrade_once(database_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=upgrade, args=(database_url,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]


def test_threads_of_one_process_that_upgrade_together_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Alembic keeps what it works on in its modules; the second one that ended met a KeyError."""
    urls = [f"sqlite:///{tmp_path / f'{number}.db'}" for number in range(4)]
    with ThreadPoolExecutor(len(urls)) as pool:
        list(pool.map(upgrade, urls))


def test_optunas_tables_live_in_the_same_database(database: Database) -> None:
    optuna.create_study(study_name="s", storage=database.storage).ask()
    url = database.url.render_as_string(hide_password=False)
    assert len(optuna.load_study(study_name="s", storage=url).trials) == 1


def test_times_come_back_as_utc(database: Database) -> None:
    noon = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    with database.transaction() as session:
        session.add(Worker(id="w", host="h", pid=1, lease_expires=0.0, started_at=noon))
    with database.session() as session:
        worker = session.get_one(Worker, "w")
    assert worker.started_at == noon
    assert worker.started_at.tzinfo is UTC
    assert worker.state is WorkerState.IDLE


def test_a_transaction_that_raises_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as session:
            session.add(Event(kind="k", message="m"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.session() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Event)) == 0


def test_a_newer_database_is_refused(database: Database) -> None:
    with database.transaction() as session:
        session.execute(sa.text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match=r"version 9999.*Upgrade the program"):
        database.upgrade()


def test_an_old_file_is_copied_before_it_is_upgraded(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'tuner.db'}")
    with database.engine.execution_options(rectuner_write=True).begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    with database.transaction() as session:
        session.add(Event(kind="k", message="kept"))
    database.upgrade()
    with database.session() as session:
        assert session.scalars(sa.select(Event.message)).all() == ["kept"]
        assert session.scalars(sa.select(Slot.seconds_run)).all() == []
    with sqlite3.connect(tmp_path / "tuner.db.0001.bak") as copy:
        assert copy.execute(f"SELECT version_num FROM {schema.VERSION_TABLE}").fetchall() == [("0001",)]
    database.close()


def test_sqlite_is_set_up_for_several_processes(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'tuner.db'}")
    database.upgrade()
    for engine in (database.engine, database.storage.engine):
        with engine.connect() as connection:
            found = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
        assert found == ["wal", 1, 1, 60_000]
    database.close()


def test_a_writing_transaction_waits_before_it_reads(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'tuner.db'}")
    database.upgrade()
    with (
        database.transaction() as session,
        closing(sqlite3.connect(tmp_path / "tuner.db", timeout=0, isolation_level=None)) as other,
    ):
        session.scalars(sa.select(Event.id)).all()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    database.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "is not a database URL"),
        ("mysql://host/name", "mysql is not supported"),
        ("sqlite://", "needs a plain file"),
    ],
)
def test_unusable_urls_are_explained(url: str, message: str) -> None:
    with pytest.raises(DatabaseError, match=message):
        Database(url)


def test_a_folder_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="TUNER_HOME"):
        Database(f"sqlite:///{tmp_path / 'file' / 'tuner.db'}")
