"""SQL: our tables beside Optuna's in one database.

States are read without SQLAlchemy; the database is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuner.store.states import StudyState, TrialState

if TYPE_CHECKING:
    from tuner.store.database import Database
else:

    def __getattr__(name: str) -> object:
        if name == "Database":
            from tuner.store.database import Database

            return Database
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Database", "StudyState", "TrialState"]
