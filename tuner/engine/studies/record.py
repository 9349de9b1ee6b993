"""What the verbs for studies return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tuner.store import StudyState
from tuner.store.tables import Study


@dataclass(frozen=True)
class StudyRecord:
    """A study as its verbs return it; :mod:`tuner.insight` tells more.

    ``warnings`` are remarks about the specification, only after ``create``.
    """

    id: int
    name: str
    state: StudyState
    reason: str | None
    max_trials: int
    created_at: datetime
    warnings: tuple[str, ...] = ()


def record(study: Study, warnings: tuple[str, ...] = ()) -> StudyRecord:
    """The record of a row."""
    return StudyRecord(study.id, study.name, study.state, study.reason, study.max_trials, study.created_at, warnings)
