"""Puts the dashboard on a FastAPI application.

Dash gets a FastAPI application of its own, mounted at the root behind all other routes: its middleware then
sees only its own requests, and unknown addresses under /api stay the API's affair.
"""

from __future__ import annotations

import logging
from pathlib import Path

from dash import Dash
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from tuner.dashboard import routing, shell
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

    app.mount("/", _OneDocument(inner, [page.path for page in PAGES]), name="dashboard")
    return list(dashboard.csp_hashes())


def _report(error: Exception) -> None:
    """Log what a callback raised, which Dash would keep to itself; the page stays as it was."""
    if isinstance(error, StudyNotFound | TrialNotFound):
        _log.info("A page shows what is no more: %s", error)
    else:
        _log.error("A callback of the dashboard failed.", exc_info=error)


class _OneDocument:
    """Answers the address of every page with the document at the root, which shows what the address says."""

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
        await self._app(scope, receive, send)
