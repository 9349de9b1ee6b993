"""One database, SQLite or PostgreSQL, set up for several processes at once."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from tuner.errors import DatabaseError
from tuner.store import facts, schema

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

__all__ = ["Database", "IntegrityError", "SQLAlchemyError", "Session"]

Result = TypeVar("Result")

# How long a connection waits for another writer of the SQLite file.
_BUSY_SECONDS = 60.0
# Creating Optuna's tables has no lock of its own; two processes that start together need a second try.
_CREATION_ATTEMPTS = 5
# Names the lock that PostgreSQL holds during an upgrade.
_UPGRADE_LOCK = 7_275_621
# The fact that names the version of Optuna that has made its tables, or found that they suit it.
_OPTUNA = "optuna"


class Database:
    """Connections to one database.

    On SQLite: WAL, ``synchronous=NORMAL``, a busy timeout and foreign keys on every connection, ours and
    Optuna's; WAL does not work on network file systems. Writing transactions begin with
    ``BEGIN IMMEDIATE``: one that reads first and writes later would otherwise fail instead of waiting.

    Raises:
        DatabaseError: the URL names neither SQLite (a file) nor PostgreSQL, or the folder can't be written.
    """

    def __init__(self, url: str) -> None:
        try:
            self.url: URL = make_url(url)
        except ArgumentError:
            raise DatabaseError(
                f"{url!r} is not a database URL. Write sqlite:///file.db or postgresql+psycopg://user@host/name."
            ) from None
        if self.is_sqlite:
            self._make_folder()
        elif self.url.get_backend_name() == "postgresql":
            self.url = self.url.set(drivername="postgresql+psycopg")
        else:
            raise DatabaseError(
                f"{self.url.get_backend_name()} is not supported. Use SQLite (sqlite:///file.db) or "
                "PostgreSQL (postgresql+psycopg://user@host/name)."
            )
        self.engine = self._create_engine()
        self._read = sessionmaker(self.engine, expire_on_commit=False)
        self._write = sessionmaker(self.engine.execution_options(rectuner_write=True), expire_on_commit=False)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session for reading one consistent snapshot; nothing it changes is kept."""
        with self._read() as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session for writing: committed at the end of the block, rolled back when it raises."""
        with self._write.begin() as session:
            yield session

    def run(self, step: Callable[[Session], Result]) -> Result:
        """The result of a step, which is one transaction for writing."""
        with self.transaction() as session:
            return step(session)

    def now(self, session: Session) -> float:
        """Unix seconds by the clock that all workers share: the server's, or this machine's for a file."""
        if self.is_sqlite:
            return time.time()
        return float(session.scalar(sa.select(sa.func.extract("epoch", sa.func.clock_timestamp()))) or 0.0)

    def upgrade(self) -> None:
        """Bring the tables, Optuna's included, to this program's version; safe when several start at once.

        An older SQLite file is copied to ``<file>.<version>.bak`` first.

        Raises:
            DatabaseError: the database is newer than this program, or can't be reached or written.
        """
        try:
            self._backup_if_older()
            with self.engine.execution_options(rectuner_write=True).begin() as connection:
                if not self.is_sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_UPGRADE_LOCK)))
                schema.upgrade(connection)
            if not self._suits_optuna():
                self._create_optuna_tables()
                with self.transaction() as session:
                    facts.write(session, _OPTUNA, version("optuna"))
        except DBAPIError as error:
            raise DatabaseError(f"{self._name}: {error.orig}. {self._hint}") from error

    def optuna_storage(self) -> RDBStorage:
        """A new Optuna storage on this database; ``upgrade`` must have run once."""
        from optuna.storages import RDBStorage  # here, because what only reads does without

        return RDBStorage(
            self.url.render_as_string(hide_password=False),
            engine_kwargs=self._engine_arguments(legacy_transactions=True),
            skip_table_creation=True,
        )

    @cached_property
    def storage(self) -> RDBStorage:
        """This process's Optuna storage."""
        return self.optuna_storage()

    def close(self) -> None:
        """Close all connections of this object."""
        self.engine.dispose()
        if "storage" in self.__dict__:
            self.storage.engine.dispose()

    @property
    def _name(self) -> str:
        return self.url.database or "" if self.is_sqlite else self.url.render_as_string(hide_password=True)

    @property
    def _hint(self) -> str:
        if self.is_sqlite:
            return "Check that the file and its folder can be written, or set TUNER_HOME or TUNER_DATABASE_URL."
        return "Check TUNER_DATABASE_URL and that the server is running."

    def _make_folder(self) -> None:
        if not self.url.database or self.url.database == ":memory:" or self.url.query:
            raise DatabaseError(
                "SQLite needs a plain file, because several processes share it: sqlite:///folder/tuner.db."
            )
        folder = Path(self.url.database).absolute().parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(f"{folder}: {error.strerror}. {self._hint}") from None

    def _create_engine(self) -> Engine:
        engine = sa.create_engine(self.url, **self._engine_arguments(legacy_transactions=False))
        if self.is_sqlite:
            event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _engine_arguments(self, *, legacy_transactions: bool) -> dict[str, Any]:
        if not self.is_sqlite:
            return {"pool_pre_ping": True}
        path = str(Path(self.url.database or "").absolute())

        def connect() -> sqlite3.Connection:
            return _connect_sqlite(path, legacy_transactions=legacy_transactions)

        return {"creator": connect}

    def _backup_if_older(self) -> None:
        if not self.is_sqlite or not Path(self.url.database or "").is_file():
            return
        with self.engine.connect() as connection:
            version = schema.version(connection)
        if version is None or version == schema.head():
            return
        schema.refuse_newer(version)
        source = Path(self.url.database or "")
        with (
            closing(_connect_sqlite(str(source), legacy_transactions=True)) as old,
            closing(sqlite3.connect(source.with_name(f"{source.name}.{version}.bak"))) as copy,
        ):
            old.backup(copy)

    def _suits_optuna(self) -> bool:
        """Whether the installed Optuna was here before, which is known without importing it."""
        with self.session() as session:
            return facts.read(session, _OPTUNA) == version("optuna")

    def _create_optuna_tables(self) -> None:
        import optuna
        from optuna.storages import RDBStorage

        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            for attempt in range(1, _CREATION_ATTEMPTS + 1):
                try:
                    RDBStorage(
                        self.url.render_as_string(hide_password=False),
                        engine_kwargs=self._engine_arguments(legacy_transactions=True),
                    ).engine.dispose()
                    return
                except (SQLAlchemyError, optuna.exceptions.StorageInternalError):
                    if attempt == _CREATION_ATTEMPTS:
                        raise
                    time.sleep(0.1 * attempt)
        finally:
            optuna.logging.set_verbosity(level)


def _connect_sqlite(path: str, *, legacy_transactions: bool) -> sqlite3.Connection:
    """A connection; without legacy transactions the driver never begins one by itself."""
    connection = sqlite3.connect(
        path,
        timeout=_BUSY_SECONDS,
        check_same_thread=False,
        isolation_level="DEFERRED" if legacy_transactions else None,
    )
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    return connection


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("rectuner_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
