"""SQL: our tables beside Optuna's in one database."""

from __future__ import annotations

from tuner.store.database import Database
from tuner.store.states import StudyState, TrialState

__all__ = ["Database", "StudyState", "TrialState"]
