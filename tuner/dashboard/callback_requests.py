"""Requests for a callback that Dash would answer with 500: they are no form of one, or are for a callback of old."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/_dash-update-component"

Refuse = Callable[[Request, str], Response]


class CallbackRequests:
    """ASGI middleware: answers with ``refuse`` what is no request for one of the dashboard's callbacks.

    Args:
        known: Dash's record of each callback by its output, asked for when a request comes.
        refuse: the answer, from the request and what is wrong with it.
    """

    def __init__(self, app: ASGIApp, known: Callable[[], Mapping[str, Mapping[str, Any]]], refuse: Refuse) -> None:
        self._app, self._known, self._refuse = app, known, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()  # the service bounds it
        if (wrong := _wrong(body, self._known())) is not None:
            await self._refuse(request, wrong)(scope, receive, send)
            return
        await self._app(scope, _again(body, receive), send)


def _wrong(body: bytes, known: Mapping[str, Mapping[str, Any]]) -> str | None:
    """What is wrong with the request, None if nothing is."""
    try:
        asked = json.loads(body)
    except ValueError:
        return "The body is no JSON."
    except RecursionError:
        return "The body is nested too deeply."
    if not isinstance(asked, dict) or not isinstance(asked.get("output"), str):
        return "The body names no callback."
    if asked["output"] not in known:
        return "There is no such callback. A page from before an update? Load it again."
    if not isinstance(asked.get("outputs"), dict | list):
        return "outputs says what the answer is for."
    changed = asked.get("changedPropIds")
    if not isinstance(changed, list) or not all(isinstance(name, str) for name in changed):
        return "changedPropIds is a list of texts."
    for part in ("inputs", "state"):
        given, wanted = asked.get(part, []), known[asked["output"]][part]
        if not isinstance(given, list) or len(given) != len(wanted) or not all(map(_is_property, given)):
            return f"{part} has an id and a property for each of the callback's {len(wanted)}."
    return None


def _is_property(given: Any) -> bool:
    if isinstance(given, list):  # of a callback for many components
        return all(map(_is_property, given))
    return (
        isinstance(given, dict) and isinstance(given.get("id"), str | dict) and isinstance(given.get("property"), str)
    )


def _again(body: bytes, receive: Receive) -> Receive:
    """What is left to receive, from the beginning."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
