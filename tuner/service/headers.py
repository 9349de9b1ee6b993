"""Headers that every answer has: what a browser may load, run, embed and pass on of it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# `same-origin`: a page's address names studies, which is nobody else's affair; with `no-referrer` browsers would also
# send `Origin: null` with the forms of our own pages.
_FIXED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def policy(scripts: Iterable[str] = ()) -> str:
    """The Content-Security-Policy under which inline scripts of these hashes run, and no others.

    Styles may be inline: Mantine, Plotly and the grid write theirs into the document.
    """
    return "; ".join(
        (
            "default-src 'self'",
            " ".join(("script-src 'self'", *scripts)),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def hashes(page: str) -> list[str]:
    """The hashes of the inline scripts that ``page`` has, as a policy names them."""
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


def fixed(scripts: Iterable[str] = ()) -> dict[str, str]:
    """All of the headers, for answers that are made outside of the middleware."""
    return _FIXED | {"content-security-policy": policy(scripts)}


class SafeHeaders:
    """ASGI middleware: adds the headers to every answer.

    Args:
        scripts: hashes of the inline scripts that pages have ("'sha256-...'").
    """

    def __init__(self, app: ASGIApp, scripts: Iterable[str] = ()) -> None:
        self.app = app
        self.headers = fixed(scripts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, with_headers)
