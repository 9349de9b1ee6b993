"""The trials of a study."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from tuner.engine import study as engine
from tuner.insight import reports
from tuner.insight.summaries import StudySummary, TrialDetail
from tuner.service.dependencies import DatabaseOf
from tuner.service.schemas import TrialPage, TrialRequest
from tuner.store import TrialState

router = APIRouter(prefix="/studies/{name}/trials", tags=["trials"])

Order = Literal[
    "number", "-number", "value", "-value", "started_at", "-started_at", "ended_at", "-ended_at", "state", "-state"
]


@router.get("")
def list_trials(
    name: str,
    database: DatabaseOf,
    state: TrialState | None = None,
    order: Order = "number",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> TrialPage:
    """Trials; those that have not started have no number yet."""
    return reports.list_trials(database, name, state=state, order=order, limit=limit, offset=offset)


@router.post("", status_code=202)
def enqueue_trial(name: str, trial: TrialRequest, database: DatabaseOf) -> StudySummary:
    """Run a trial with these values before the others; the study's budget grows by one."""
    engine.enqueue(database, name, trial.params)
    return reports.get_study(database, name)


@router.get("/{number}")
def get_trial(name: str, number: Annotated[int, Path(ge=0)], database: DatabaseOf) -> TrialDetail:
    """One trial with the curve of every epoch that led to it."""
    return reports.get_trial(database, name, number)


@router.post("/{number}/retry", status_code=202)
def retry_trial(name: str, number: Annotated[int, Path(ge=0)], database: DatabaseOf) -> StudySummary:
    """Run a failed trial's parameters again, as a new trial."""
    engine.retry_trial(database, name, number)
    return reports.get_study(database, name)
