"""What happened: in the whole installation, or to one study."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AfterValidator

from tuner import insight
from tuner.insight.events import KINDS
from tuner.service.dependencies import DatabaseOf
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
