"""What is outside of the versioned API because machines look for it there: liveness, readiness, metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder
from starlette.exceptions import HTTPException

from tuner.insight import installation
from tuner.service import problems
from tuner.service.dependencies import DatabaseOf

router = APIRouter(tags=["system"], responses=problems.RESPONSES)

_METRICS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Prometheus's text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
_AWAY: dict[int | str, dict[str, Any]] = {503: {"model": problems.Problem, "description": "Not now."}}


@router.get("/healthz", openapi_extra={"security": []})
def is_alive() -> dict[str, str]:
    """Liveness: the process answers. Nothing is looked at, so that an outage elsewhere does not restart it."""
    return {"status": "ok"}


@router.get("/readyz", openapi_extra={"security": []}, responses=_AWAY)
def is_ready(database: DatabaseOf) -> dict[str, str]:
    """Readiness: the database answers, so that requests can be served; else 503."""
    health = installation.health(database)
    if not health.database_ok:
        raise HTTPException(503, "The database does not answer.")
    return {"status": "ok"}


@router.get("/metrics", response_class=Response, responses=_METRICS)
def get_metrics(request: Request) -> Response:
    """Studies, trials and workers by state, the queue, epochs, computing time; seconds of requests by route."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(request.app.state.registry), headers={"content-type": content_type})
