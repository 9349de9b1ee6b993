"""The data sets that are at hand, and those that can be fetched."""

from __future__ import annotations

from fastapi import APIRouter

from tuner.insight import installation
from tuner.insight.installation import DatasetSummary

router = APIRouter(prefix="/datasets", tags=["datasets"])


@router.get("")
def list_datasets() -> tuple[DatasetSummary, ...]:
    """Data sets by name; `folder` is null for those that `tuner data get` would have to fetch."""
    return installation.list_datasets()
