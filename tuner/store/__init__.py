"""SQL: our tables beside Optuna's in one database.

States are read without SQLAlchemy; the database is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuner.store.states import StudyState, TrialState

if TYPE_CHECKING:
    from tuner.store.database import Database, IntegrityError, Session, SQLAlchemyError
else:

    def __getattr__(name: str) -> object:
        if name in ("Database", "IntegrityError", "SQLAlchemyError", "Session"):
            from tuner.store import database

            return getattr(database, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Database", "IntegrityError", "SQLAlchemyError", "Session", "StudyState", "TrialState"]
