"""Versions of our tables, by Alembic. They stand in ``rectuner_version``, since Optuna has a table too."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import column, inspect, select, table
from sqlalchemy.engine import Connection

from tuner.errors import DatabaseError

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "rectuner_version"
# Alembic keeps what it works on in its modules, so one thread of a process has to wait for the other.
_ALEMBIC = threading.Lock()
_MIGRATIONS = Path(__file__).parent / "migrations"

logging.getLogger("alembic").setLevel(logging.WARNING)  # it reports every look at the version


def head() -> str:
    """The version that this program works with: the last migration's."""
    return max(_known())


def version(connection: Connection) -> str | None:
    """The version of the database, None for one without our tables."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))
    return found


def refuse_newer(found: str | None) -> None:
    """Raise DatabaseError when ``found`` is a version that this program does not know."""
    if found is not None and found not in _known():
        raise DatabaseError(
            f"The database has version {found}, and this program knows versions up to {head()}. "
            "Upgrade the program, or use another database."
        )


def upgrade(connection: Connection) -> None:
    """Run the missing migrations within the caller's transaction; safe for several threads."""
    found = version(connection)
    refuse_newer(found)
    if found == head():
        return
    from alembic import command  # here, because a database of this version needs none of it

    config = _config()
    config.attributes["connection"] = connection
    with _ALEMBIC:
        command.upgrade(config, "head")


def _known() -> set[str]:
    """The versions that there are migrations to: ``v0001_first.py`` is the one to 0001."""
    return {file.name[1:5] for file in (_MIGRATIONS / "versions").glob("v[0-9][0-9][0-9][0-9]_*.py")}


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config
