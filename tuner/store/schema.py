"""Versions of our tables, by Alembic. They stand in ``rectuner_version``, since Optuna has a table too."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from tuner.errors import DatabaseError

VERSION_TABLE = "rectuner_version"

logging.getLogger("alembic").setLevel(logging.WARNING)  # it reports every look at the version


def head() -> str:
    """The version that this program works with."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def version(connection: Connection) -> str | None:
    """The version of the database, None for one without our tables."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def refuse_newer(found: str | None) -> None:
    """Raise DatabaseError when ``found`` is a version that this program does not know."""
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise DatabaseError(
            f"The database has version {found}, and this program knows versions up to {head()}. "
            "Upgrade the program, or use another database."
        )


def upgrade(connection: Connection) -> None:
    """Run the missing migrations within the caller's transaction."""
    refuse_newer(version(connection))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
