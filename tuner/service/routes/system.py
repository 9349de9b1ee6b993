"""The installation: is it alive, who works, what runs here; and what its problems mean."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from tuner.engine.fleet.machine import own_gpus, workers_wanted
from tuner.insight import installation
from tuner.insight.installation import WorkerSummary
from tuner.service import problems
from tuner.service.dependencies import DatabaseOf, SettingsOf
from tuner.service.schemas import HealthReport, Version
from tuner.settings import Settings

router = APIRouter(tags=["system"])


@router.get("/health", openapi_extra={"security": []}, responses={503: {"model": HealthReport}})
def get_health(response: Response, database: DatabaseOf, settings: SettingsOf) -> HealthReport:
    """Liveness, for load balancers and containers: 200, or 503 when the database does not answer."""
    health = installation.health(database)
    response.status_code = 200 if health.database_ok else 503
    detail = _detail(health, settings)
    return HealthReport(
        status="degraded" if detail else "ok",
        detail=detail,
        database=health.database,
        database_ok=health.database_ok,
        workers_wanted=_wanted(settings),
        workers_alive=health.workers_alive,
        studies=health.studies,
    )


@router.get("/workers")
def list_workers(database: DatabaseOf) -> tuple[WorkerSummary, ...]:
    """Worker processes of all machines, those that started last first."""
    return installation.list_workers(database)


@router.get("/version")
def get_version() -> Version:
    """What runs here."""
    return Version(
        version=version("rectuner"),
        python=platform.python_version(),
        torch=version("torch"),
        optuna=version("optuna"),
    )


@router.get("/problems/{kind}")
def explain_problem(kind: str) -> dict[str, Any]:
    """What the `type` of an error means."""
    explanation = problems.explain(kind)
    if explanation is None:
        raise HTTPException(404, f"There is no kind of problem {kind!r}.")
    return explanation


def _detail(health: installation.Health, settings: Settings) -> str | None:
    if not health.database_ok:
        return f"The database does not answer: {health.problem}"
    if health.workers_alive == 0 and any(state in health.studies for state in ("queued", "running")):
        if _wanted(settings):
            return "No worker is alive yet."
        return "Studies are waiting, and no worker is alive. Start one: tuner worker."
    return None


def _wanted(settings: Settings) -> int:
    return workers_wanted(settings, own_gpus())
