"""Puts the dashboard on a FastAPI application.

Dash gets a FastAPI application of its own, mounted at the root behind all other routes: its middleware then
sees only its own requests, and unknown addresses under /api stay the API's affair.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from dash import Dash
from dash.exceptions import DependencyException, InvalidResourceError
from fastapi import FastAPI, Request, Response
from fastapi.exception_handlers import http_exception_handler
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tuner.dashboard import routing, shell
from tuner.dashboard.callback_requests import CallbackRequests
from tuner.dashboard.context import context_of
from tuner.dashboard.pages import PAGES
from tuner.errors import StudyNotFound, TrialNotFound
from tuner.settings import Settings

_log = logging.getLogger(__name__)

_ASSETS = Path(__file__).parent / "assets"
_ICON = "/assets/favicon.svg"


def mount(app: FastAPI, settings: Settings) -> list[str]:
    """Serve the dashboard at ``/``. Call it after every other route of ``app`` is there.

    It reads ``app.state.database`` when a request comes, so the database may be set later, by the lifespan.

    Returns:
        The hashes of the inline scripts that Dash writes into the document, for a Content-Security-Policy.
    """
    context = context_of(app, settings)
    inner = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    inner.exception_handlers.update(app.exception_handlers)
    for unknown in (DependencyException, InvalidResourceError):
        inner.add_exception_handler(unknown, _not_found)
    dashboard = Dash(
        __name__,
        server=inner,  # type: ignore[arg-type]
        assets_folder=str(_ASSETS),
        title="Rectuner",
        update_title="",
        serve_locally=True,
        compress=True,
        suppress_callback_exceptions=True,
        index_string=shell.INDEX,
        on_error=_report,
    )
    # No callback here uses a websocket; without this the browser tries to open one for every page.
    dashboard.backend.websocket_capability = False
    dashboard.layout = shell.layout()
    shell.register(dashboard, context)
    routing.register(dashboard, context)
    for page in PAGES:
        page.register(dashboard, context)

    checked = CallbackRequests(inner, lambda: dashboard.callback_map, _bad_request)
    app.mount("/", _OneDocument(checked, [page.path for page in PAGES]), name="dashboard")
    return list(dashboard.csp_hashes())


def _report(error: Exception) -> None:
    """Log what a callback raised, which Dash would keep to itself; the page stays as it was."""
    if isinstance(error, StudyNotFound | TrialNotFound):
        _log.info("A page shows what is no more: %s", error)
    else:
        _log.error("A callback of the dashboard failed.", exc_info=error)


async def _not_found(request: Request, _error: Exception) -> Response:
    """Answer what Dash does not know, such as a script of no component, as every other unknown address."""
    handle: Any = request.app.exception_handlers.get(HTTPException, http_exception_handler)
    response: Response = await handle(request, HTTPException(404))
    return response


def _bad_request(_request: Request, wrong: str) -> Response:
    return PlainTextResponse(wrong, 400)


class _OneDocument:
    """Answers the address of every page with the document at the root, which shows what the address says.

    So it does, with status 404, for a browser that asks for a page that is not there: the document says so.
    """

    def __init__(self, app: ASGIApp, paths: list[str]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            if scope["path"] == "/favicon.ico":  # what a browser asks for where a document names no icon, as JSON can't
                scope = {**scope, "path": _ICON, "raw_path": _ICON.encode()}
            parts = [part for part in scope["path"].split("/") if part]
            if any(routing.match(path, parts) is not None for path in self._paths):
                scope = {**scope, "path": "/", "raw_path": b"/"}
            elif parts and _asks_for_page(scope) and not parts[0].startswith(("_", "api", "assets")):
                scope, send = {**scope, "path": "/", "raw_path": b"/"}, _as_not_found(send)
        await self._app(scope, receive, send)


def _asks_for_page(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _as_not_found(send: Send) -> Send:
    async def changed(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            message = {**message, "status": 404}
        await send(message)

    return changed
