"""The trials of a study."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from tuner import insight
from tuner.engine.files.weights import read_weights
from tuner.engine.studies import additions
from tuner.insight.summaries import StudySummary, TrialDetail
from tuner.insight.trials import TrialOrder
from tuner.service.dependencies import DatabaseOf, SettingsOf
from tuner.service.schemas import TrialPage, TrialRequest
from tuner.specification import MOST
from tuner.store import TrialState

router = APIRouter(prefix="/studies/{name}/trials", tags=["trials"])

CHECKPOINT: dict[str, Any] = {
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    "description": "A checkpoint, as torch.load(weights_only=True) reads it.",
}


@router.get("")
def list_trials(
    name: str,
    database: DatabaseOf,
    state: TrialState | None = None,
    order: TrialOrder = "number",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=MOST)] = 0,
) -> TrialPage:
    """Trials; those that have not started have no number yet."""
    return insight.list_trials(database, name, state=state, order=order, limit=limit, offset=offset)


@router.post("", status_code=202)
def enqueue_trial(name: str, trial: TrialRequest, database: DatabaseOf) -> StudySummary:
    """Run a trial with these values before the others; the study's budget grows by one."""
    additions.enqueue(database, name, trial.params)
    return insight.get_study(database, name)


@router.get("/{number}")
def get_trial(name: str, number: Annotated[int, Path(ge=0, le=MOST)], database: DatabaseOf) -> TrialDetail:
    """One trial with the curve of every epoch that led to it."""
    return insight.get_trial(database, name, number)


@router.get("/{number}/checkpoint", response_class=StreamingResponse, responses={200: CHECKPOINT})
def get_checkpoint(
    name: str, number: Annotated[int, Path(ge=0, le=MOST)], database: DatabaseOf, settings: SettingsOf
) -> StreamingResponse:
    """The trial's weights, those of its best epoch, as a file that RecBole loads too; 404 says whose there are."""
    weights = read_weights(database, settings.artifacts, name, number)
    file = TemporaryFile()  # noqa: SIM115 - closed by who reads it
    weights.write(file)
    size = file.tell()
    file.seek(0)
    headers = {"content-disposition": f'attachment; filename="{weights.file_name}"', "content-length": str(size)}
    return StreamingResponse(_pieces(file), media_type="application/octet-stream", headers=headers)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """The open file; it is gone as soon as nobody reads it any more."""
    with file:
        while piece := file.read(1 << 20):
            yield piece


@router.post("/{number}/retry", status_code=202)
def retry_trial(name: str, number: Annotated[int, Path(ge=0, le=MOST)], database: DatabaseOf) -> StudySummary:
    """Run a failed trial's parameters again, as a new trial."""
    additions.retry_trial(database, name, number)
    return insight.get_study(database, name)
