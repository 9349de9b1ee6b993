"""The web application: REST under /api/v1, its documentation at /docs, the dashboard at /."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.routing import Match

from tuner.dashboard import mount, shell
from tuner.engine.fleet.supervisor import Supervisor
from tuner.service import headers, login, problems, study_body
from tuner.service.access import Access, Doorkeeper
from tuner.service.body_limit import BodyLimit
from tuner.service.event_stream import EventStream
from tuner.service.headers import SafeHeaders
from tuner.service.metrics import TimedRequests, make_registry
from tuner.service.origin import OwnOrigin
from tuner.service.routes import datasets, events, models, monitoring, results, stages, studies, system, trials
from tuner.settings import Settings
from tuner.store import Database

PREFIX = "/api/v1"
# Far above any params file with its configuration files.
MOST_BODY_BYTES = 4_000_000


def create_app(settings: Settings) -> FastAPI:
    """The application of one installation; nothing is opened or started before it is served.

    On start-up the database is upgraded and the supervisor started, so that studies which were running when
    the last service ended go on. On shutdown workers finish or abandon their epoch and give back their trials.
    """
    app: FastAPI = FastAPIOffline(
        title="Rectuner",
        version=version("rectuner"),
        summary="Hyperparameter studies of sequential recommenders.",
        description="Errors are problem details (RFC 9457). Times are UTC, durations seconds.",
        static_url="/docs/static",
        lifespan=_lifespan,
    )
    app.state.settings = settings
    app.state.registry, seconds = make_registry(lambda: app.state.database)
    app.include_router(monitoring.router)
    api = APIRouter(prefix=PREFIX, responses=problems.RESPONSES)
    for module in (studies, trials, results, stages, events, models, datasets, system):
        api.include_router(module.router)
    app.include_router(api)
    _answer_the_rest(app)
    _complete_document(app)
    app.state.doorkeeper = Doorkeeper(settings, lambda: app.state.database)
    login.install(app)
    app.add_middleware(BodyLimit, most=MOST_BODY_BYTES)
    app.add_middleware(Access, doorkeeper=app.state.doorkeeper)
    problems.install(app)
    scripts = [*mount(app, settings), *headers.hashes(shell.INDEX), *headers.hashes(_documentation(app))]
    # The last one comes first.
    app.add_middleware(TimedRequests, seconds=seconds)
    app.add_middleware(OwnOrigin, names=settings.own_names)
    app.add_middleware(SafeHeaders, scripts=scripts)
    return app


def _documentation(app: FastAPI) -> str:
    """The page at /docs as far as its inline script goes."""
    page = get_swagger_ui_html(
        openapi_url=app.openapi_url or "",
        title="",
        oauth2_redirect_url=app.swagger_ui_oauth2_redirect_url,
        swagger_ui_parameters=app.swagger_ui_parameters,
    )
    return bytes(page.body).decode()


def _complete_document(app: FastAPI) -> None:
    """Say in the OpenAPI document how to be let in, and what describes a study."""
    derived = app.openapi

    def openapi() -> dict[str, Any]:
        document = derived()
        study_body.describe(document, f"{PREFIX}/studies")
        document.setdefault("components", {})["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer", "description": "What `tuner token create` printed."}
        }
        # Without a token is a way, too: on loopback none is needed until one was made (TUNER_AUTH).
        document["security"] = [{"token": []}, {}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _answer_the_rest(app: FastAPI) -> None:
    """Say 405 or 404 for what the API does not have; the dashboard at / would answer 404 to all of it."""

    async def nothing(request: Request) -> None:
        matches = (route.matches(request.scope)[0] for route in app.routes)
        raise HTTPException(405 if Match.PARTIAL in matches else 404)

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app.add_api_route("/api/{rest:path}", nothing, methods=methods, include_in_schema=False)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    if settings.data_root is not None:
        # The model package knows no settings; this is where it looks.
        os.environ["TUNER_DATA_ROOT"] = str(settings.data_root)
    database = Database(settings.database)
    try:
        await run_in_threadpool(database.upgrade)
        app.state.database = database
        app.state.event_stream = EventStream(database)
        supervisor = Supervisor(settings)
        supervisor.start()
        try:
            yield
        finally:
            await run_in_threadpool(supervisor.stop)
    finally:
        database.close()
