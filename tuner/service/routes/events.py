"""What happened: in the whole installation, or to one study."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AfterValidator

from tuner import insight
from tuner.insight.events import KINDS
from tuner.service.dependencies import DatabaseOf
from tuner.service.event_stream import EventStream
from tuner.service.schemas import EventPage

router = APIRouter(tags=["events"])

_MOST = 2**63 - 1


def _known(kind: str | None) -> str | None:
    if kind is not None and kind not in KINDS:
        raise ValueError(f"There is no kind of event {kind!r}. Kinds: {', '.join(KINDS)}.")
    return kind


Kind = Annotated[str | None, AfterValidator(_known), Query(json_schema_extra={"enum": list(KINDS)})]
After = Annotated[int | None, Query(ge=0, le=_MOST, description="Events after this id, the oldest first.")]
Limit = Annotated[int, Query(ge=1, le=200)]
Offset = Annotated[int, Query(ge=0, le=_MOST)]


@router.get("/events")
def list_events(
    database: DatabaseOf, kind: Kind = None, after: After = None, limit: Limit = 50, offset: Offset = 0
) -> EventPage:
    """Events of all studies and of the workers, the newest first."""
    return insight.list_events(database, kind=kind, after=after, limit=limit, offset=offset)


@router.get("/studies/{name}/events")
def list_study_events(
    name: str,
    database: DatabaseOf,
    kind: Kind = None,
    trial: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    after: After = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> EventPage:
    """Events of one study, the newest first."""
    return insight.list_events(database, name, kind=kind, trial=trial, after=after, limit=limit, offset=offset)


def _stream(request: Request) -> EventStream:
    return cast(EventStream, request.app.state.event_stream)


def _existing(name: str, database: DatabaseOf) -> str:
    """The study's name; a study that does not exist is told as that, and not in a stream."""
    return insight.get_study(database, name).name


StreamOf = Annotated[EventStream, Depends(_stream)]
LastSeen = Annotated[
    int | None, Header(alias="Last-Event-ID", ge=0, le=_MOST, description="What a browser sends that was cut off.")
]


@router.get("/events/stream", response_class=EventSourceResponse)
async def follow_events(
    stream: StreamOf, after: After = None, last_seen: LastSeen = None
) -> AsyncIterator[ServerSentEvent]:
    """Events of all studies and of the workers as Server-Sent Events, from now on or after an id; none is missed."""
    async for event in stream.follow(None, last_seen if last_seen is not None else after):
        yield event


@router.get("/studies/{name}/events/stream", response_class=EventSourceResponse)
async def follow_study_events(
    name: Annotated[str, Depends(_existing)], stream: StreamOf, after: After = None, last_seen: LastSeen = None
) -> AsyncIterator[ServerSentEvent]:
    """Events of one study as Server-Sent Events; the stream ends when the study is deleted."""
    async for event in stream.follow(name, last_seen if last_seen is not None else after):
        yield event
