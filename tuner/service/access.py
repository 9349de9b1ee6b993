"""Who is let in: programs by ``Authorization: Bearer``, browsers by the cookie of a login.

Failed attempts are logged and answered late, later with every further one of an address; whoever has a token is never
made to wait. What is remembered of them is bounded.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import quote

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import DBAPIError
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tuner.access import needs_token
from tuner.dashboard.permission import may_write
from tuner.service.problems import Problem, answer
from tuner.settings import Settings
from tuner.store import Database, states, tokens
from tuner.store.tokens import Holder

# What anybody may ask: load balancers whether it lives, browsers for the page that lets them in.
_OPEN = ("/api/v1/health", "/healthz", "/readyz", "/login", "/logout")
# Dash asks by POST whatever it asks; callbacks that act check for themselves (tuner.dashboard.permission).
_DASH = "/_dash-update-component"
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_PRINTED_SECONDS = 15 * 60.0
_MOST_ADDRESSES = 1000
_FIRST_WAIT, _LONGEST_WAIT, _FORGOTTEN_AFTER = 0.1, 2.0, 300.0

_log = logging.getLogger(__name__)


class Doorkeeper:
    """Decides who is let in; one for an application."""

    def __init__(self, settings: Settings, get_database: Callable[[], Database]) -> None:
        self._settings = settings
        self._get_database = get_database
        self._needed = False
        self._printed: tuple[str, float] | None = None
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    @property
    def database(self) -> Database:
        return self._get_database()

    def needs_token(self) -> bool:
        """Whether a token has to be shown; once so, it stays so until the service is started again."""
        self._needed = self._needed or needs_token(self._settings, self.database)
        return self._needed

    def holder(self, connection: HTTPConnection) -> Holder | None:
        """Who asks, by token or login; None: nobody that is known."""
        bearer = _bearer(connection)
        if bearer is not None:
            return tokens.holder_of_token(self.database, bearer)
        cookie = connection.cookies.get(cookie_name(connection))
        return None if cookie is None else tokens.holder_of_login(self.database, cookie)

    def print_secret(self) -> str:
        """A secret that lets in one browser, once, within a quarter of an hour."""
        secret = secrets.token_urlsafe(32)
        self._printed = (tokens.digest(secret), time.monotonic() + _PRINTED_SECONDS)
        return secret

    def take_printed(self, secret: str) -> Holder | None:
        """Let in whoever has the printed secret, and nobody with it again."""
        printed = self._printed
        if printed is None or time.monotonic() > printed[1]:
            return None
        if not hmac.compare_digest(printed[0], tokens.digest(secret)):
            return None
        self._printed = None
        return Holder("the address that the service printed", states.Scope.WRITE, None)

    async def refuse(self, connection: HTTPConnection) -> None:
        """Log a failed attempt and wait."""
        address = connection.client.host if connection.client else "?"
        now = time.monotonic()
        count, last = self._failures.pop(address, (0, now))
        count = 1 if now - last > _FORGOTTEN_AFTER else count + 1
        self._failures[address] = (count, now)
        if len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)
        _log.warning("A token that is not in force, from %s (%d times).", address, count)
        await asyncio.sleep(min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(count - 1, 10)))


class Access:
    """ASGI middleware: 401 to who is not known, 403 to who may only look."""

    def __init__(self, app: ASGIApp, doorkeeper: Doorkeeper) -> None:
        self.app = app
        self.doorkeeper = doorkeeper

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _OPEN:
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            needed = await run_in_threadpool(self.doorkeeper.needs_token)
            holder = await run_in_threadpool(self.doorkeeper.holder, connection) if needed else None
        except DBAPIError as error:
            _log.error("The database can't be used.", exc_info=error)
            detail = "The database does not answer, so that nobody can be let in. See the service's log."
            await _problem(scope, HTTPStatus.SERVICE_UNAVAILABLE, detail)(scope, receive, send)
            return
        if needed and holder is None:
            await self._ask(connection, scope, receive, send)
            return
        writes = holder is None or holder.may_write
        if not writes and scope["method"] not in _SAFE_METHODS and scope["path"] != _DASH:
            detail = "This token may only read (scope read). Use one of scope write: tuner token create NAME."
            await _problem(scope, HTTPStatus.FORBIDDEN, detail)(scope, receive, send)
            return
        previous = may_write.set(writes)
        try:
            await self.app(scope, receive, send)
        finally:
            may_write.reset(previous)

    async def _ask(self, connection: HTTPConnection, scope: Scope, receive: Receive, send: Send) -> None:
        if _bearer(connection) is not None:
            await self.doorkeeper.refuse(connection)
        elif _wants_page(connection, scope):
            address = quote(connection.url.path + (f"?{connection.url.query}" if connection.url.query else ""))
            await RedirectResponse(f"/login?next={address}", 303)(scope, receive, send)
            return
        detail = (
            "A token is needed: Authorization: Bearer TOKEN (TUNER_TOKEN for tuner launch and tuner.client), or a "
            "login at /login. On the service's machine tuner token create NAME makes one."
        )
        await _problem(scope, HTTPStatus.UNAUTHORIZED, detail)(scope, receive, send)


def cookie_name(connection: HTTPConnection) -> str:
    """The cookie's name; with the port, because services on one machine share a browser's cookies."""
    server = connection.scope.get("server")
    return f"rectuner_{server[1] if server else 0}"


def _bearer(connection: HTTPConnection) -> str | None:
    kind, _, value = connection.headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else None


def _wants_page(connection: HTTPConnection, scope: Scope) -> bool:
    page = "text/html" in connection.headers.get("accept", "")
    return page and scope["method"] == "GET" and not scope["path"].startswith("/api/")


def _problem(scope: Scope, status: HTTPStatus, detail: str) -> ASGIApp:
    headers = {"www-authenticate": 'Bearer realm="rectuner"'} if status == HTTPStatus.UNAUTHORIZED else None
    problem = Problem(title=status.phrase, status=status, detail=detail, instance=scope["path"])
    return answer(problem, headers)
