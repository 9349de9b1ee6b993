"""Shared stages of the whole installation; those of one study are under the study."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from tuner import insight
from tuner.service.dependencies import DatabaseOf
from tuner.service.schemas import StagePage
from tuner.specification import MOST

router = APIRouter(prefix="/stages", tags=["stages"])


@router.get("")
def list_stages(
    database: DatabaseOf,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=MOST)] = 0,
) -> StagePage:
    """Stages that trials of any study share, last used first."""
    return insight.list_stages(database, limit=limit, offset=offset)
