"""Who sent the browser here: foreign names of this machine and requests of other sites' pages are refused.

A web page that somebody visits may send requests to any address that their browser reaches, this service's too. Two
questions keep it from acting here:

*By what name was the service called?* A page may point a name of its own at this machine (DNS rebinding) and is then
of the service's own origin to the browser, but the browser says the name: ``Host``. Loopback names, addresses (a name
is what is rebound, an address can't be) and the configured names are answered. Starlette's TrustedHostMiddleware does
the same for fixed names; it can't allow "any address", and answers in plain text.

*Whose page asked for it?* Asked of every request that may change something. In this order:

1. ``Authorization: Bearer``: a page can only send it after asking for permission (CORS), which nothing here gives.
2. ``Sec-Fetch-Site`` can't be set by a page. ``same-origin`` is ours, ``none`` is the person at the address bar.
   Another port of this machine is ``same-site`` and refused.
3. ``Origin`` has to be what the service was called. ``null`` (a sandboxed frame, a file) is not.
4. None of the three: browsers since 2020 send ``Origin`` with every request that is not GET or HEAD, and
   ``Sec-Fetch-Site`` with all of them wherever the address is https or loopback. So it is a program, unless it brings a
   ``Cookie`` or a ``Referer``, which programs here have no use for: then it is taken for an old browser and refused.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Iterable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from tuner.service.problems import Problem, answer

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?", re.IGNORECASE)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}

_log = logging.getLogger(__name__)


class OwnOrigin:
    """ASGI middleware: answers 403 to what pages of other origins made a browser send.

    Args:
        names: host names, beside addresses and localhost, by which the service may be called.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self.app = app
        self.names = frozenset(name.lower().rstrip(".") for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            # There are none here; one that comes would be without the checks of an unsafe method.
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] == "http" and (reason := self._refusal(scope)) is not None:
            _log.warning("Refused %s %s: %s", scope["method"], scope["path"], reason)
            status = HTTPStatus.FORBIDDEN
            problem = Problem(title=status.phrase, status=status, detail=reason, instance=scope["path"])
            await answer(problem)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = headers.get("host")
        # Only programs leave it out (HTTP/1.0); a browser's request has it always.
        if len(headers.getlist("host")) > 1 or (host is not None and not self._is_own(host)):
            return f"This service is not called {host!r}. If it should be, name it: TUNER_HOSTS."
        if scope["method"] in _SAFE_METHODS or _is_ours(headers, scope["scheme"]):
            return None
        return (
            "A page of another origin asked for this. Send it from the service's own pages, or with a token (Bearer)."
        )

    def _is_own(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found["name"].lower().rstrip(".")
        return name in self.names or name == "localhost" or name.endswith(".localhost") or _is_address(name)


def _is_ours(headers: Headers, scheme: str) -> bool:
    if headers.get("authorization", "").lower().startswith("bearer "):
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is not None:
        # The scheme is left out: behind a proxy that ends TLS it is another one here than in the browser.
        kind, _, place = origin.lower().partition("://")
        own = headers.get("host", "").lower()
        return place != "" and place.removesuffix(_DEFAULT_PORTS.get(kind, "")) == own.removesuffix(
            _DEFAULT_PORTS.get(scheme, "")
        )
    return "cookie" not in headers and "referer" not in headers


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
