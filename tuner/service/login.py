"""``/login`` and ``/logout``: a browser shows a token once and gets a cookie. Pages without scripts."""

from __future__ import annotations

from html import escape
from typing import cast

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from tuner.service.access import Doorkeeper, cookie_name
from tuner.store import tokens
from tuner.store.tokens import LOGIN_LIFE, Holder

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">{head}<title>Log in · Rectuner</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
main {{ max-width: 24rem; margin: 20vh auto 0; padding: 0 1rem; }}
input, button {{ font: inherit; width: 100%; box-sizing: border-box; margin-top: .5rem; padding: .5rem; }}
[role=alert] {{ color: #c92a2a; }}
</style></head>
<body><main><h1>Rectuner</h1>{content}</main></body>
</html>"""

_FORM = """{message}<form method="post" action="/login"><label>Token
<input type="password" name="token" required autofocus autocomplete="current-password"></label>
<input type="hidden" name="next" value="{next}"><button>Log in</button></form>
<p>On the service's machine, <code>tuner token create NAME</code> makes one.</p>"""

_KNOWN = """<p>Logged in with {name}, which may {scope}.</p><form method="post" action="/logout">
<button>Log out</button></form><p><a href="/">Studies</a></p>"""

_WELCOME = '<p>Logged in. <a href="/">Go on</a></p>'
_REFUSED = '<p role="alert">That token is not in force. Check it, or create another.</p>'


def install(app: FastAPI) -> None:
    """Add the pages to ``app``."""
    app.add_api_route("/login", _show, methods=["GET"], include_in_schema=False)
    app.add_api_route("/login", _log_in, methods=["POST"], include_in_schema=False)
    app.add_api_route("/logout", _log_out, methods=["POST"], include_in_schema=False)


async def _show(request: Request, token: str | None = None, next: str = "/") -> Response:
    doorkeeper = _doorkeeper(request)
    if not await run_in_threadpool(doorkeeper.needs_token):
        return RedirectResponse("/", 303)
    if token is not None:
        holder = doorkeeper.take_printed(token)
        if holder is not None:
            # Not a redirection: a browser that came here from another site's link would not send the cookie on it.
            page = _page(_WELCOME, head='<meta http-equiv="refresh" content="0; url=/">')
            return await _with_cookie(request, page, holder)
        await doorkeeper.refuse(request)
        return _page(_FORM.format(message=_REFUSED, next="/"), 401)
    known = await run_in_threadpool(doorkeeper.holder, request)
    if known is not None:
        return _page(_KNOWN.format(name=escape(known.name), scope=known.scope))
    return _page(_FORM.format(message="", next=escape(_own_path(next))))


async def _log_in(request: Request) -> Response:
    async with request.form(max_files=0, max_fields=5) as form:
        secret, following = (str(form.get(key, "")) for key in ("token", "next"))
    doorkeeper = _doorkeeper(request)
    holder = await run_in_threadpool(tokens.holder_of_token, doorkeeper.database, secret.strip())
    if holder is None:
        await doorkeeper.refuse(request)
        return _page(_FORM.format(message=_REFUSED, next=escape(_own_path(following))), 401)
    return await _with_cookie(request, RedirectResponse(_own_path(following), 303), holder)


async def _log_out(request: Request) -> Response:
    secret = request.cookies.get(cookie_name(request))
    if secret is not None:
        await run_in_threadpool(tokens.end_login, _doorkeeper(request).database, secret)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(cookie_name(request), httponly=True, samesite="strict")
    return response


async def _with_cookie(request: Request, response: Response, holder: Holder) -> Response:
    secret = await run_in_threadpool(tokens.begin_login, _doorkeeper(request).database, holder)
    response.set_cookie(
        cookie_name(request),
        secret,
        max_age=int(LOGIN_LIFE.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


def _page(content: str, status: int = 200, head: str = "") -> HTMLResponse:
    return HTMLResponse(_PAGE.format(content=content, head=head), status, headers={"cache-control": "no-store"})


def _own_path(text: str) -> str:
    """``text`` if it is an address of this service, else the first page: a login leads nowhere else."""
    return text if text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable() else "/"


def _doorkeeper(request: Request) -> Doorkeeper:
    return cast(Doorkeeper, request.app.state.doorkeeper)
