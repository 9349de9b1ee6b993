"""Errors as RFC 9457 problem details: one place where exceptions become HTTP answers."""

from __future__ import annotations

import http
import logging
from typing import Any

from dash.exceptions import DependencyException
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from model.errors import AttributeColumnMissing, ConfigError, DataError, DatasetNotFound, ModelError
from tuner import errors
from tuner.service.headers import fixed

MEDIA_TYPE = "application/problem+json"

_log = logging.getLogger(__name__)


class ProblemItem(BaseModel):
    """One thing that is wrong: where, what, and what to do instead."""

    detail: str
    pointer: str | None = Field(default=None, description="The field of the body, as a JSON pointer.")
    parameter: str | None = Field(default=None, description="The parameter of the address.")
    file: str | None = None
    line: int | None = None
    column: int | None = None
    fix: str | None = None


class Problem(BaseModel):
    """RFC 9457. ``type`` is a reference that can be followed for an explanation."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    errors: list[ProblemItem] | None = None


# (exception, status, slug, title); the first that fits counts, so narrow classes come first.
KINDS: tuple[tuple[type[Exception], int, str, str], ...] = (
    (errors.SpaceError, 422, "search-space", "The search space can't be used"),
    (errors.SpecificationError, 422, "specification", "The study can't be run as specified"),
    (errors.StudyExists, 409, "study-exists", "The study's name is taken"),
    (errors.StudyNotFound, 404, "study-not-found", "There is no such study"),
    (errors.TrialNotFound, 404, "trial-not-found", "There is no such trial"),
    (errors.WeightsNotKept, 404, "weights-not-kept", "The trial's weights are not there"),
    (errors.StudyStateError, 409, "study-state", "The study's state does not allow this"),
    (errors.DatabaseError, 503, "database", "The database can't be used"),
    (DBAPIError, 503, "database", "The database can't be used"),
    (errors.SettingsError, 500, "settings", "The installation's settings are unusable"),
    (errors.FormatUnavailable, 422, "format", "The format is not available here"),
    (errors.TunerError, 400, "request", "The request can't be fulfilled"),
    (ConfigError, 422, "configuration", "The configuration can't be used"),
    (DatasetNotFound, 422, "dataset-not-found", "There is no such data set"),
    (AttributeColumnMissing, 422, "attribute-missing", "The data set lacks a column that the model needs"),
    (DataError, 422, "data", "The data set can't be used"),
    (ModelError, 422, "model", "The model can't be used"),
)

# What `responses=` of the routers documents.
RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "Problem details (RFC 9457)", "content": {MEDIA_TYPE: {}}, "model": Problem},
}


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` with problem details."""
    app.add_exception_handler(errors.TunerError, _known)
    app.add_exception_handler(ModelError, _known)
    app.add_exception_handler(DBAPIError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _gone)
    # The dashboard's, whose application takes these handlers over: a component's file that no component has.
    app.add_exception_handler(DependencyException, _no_component)
    app.add_exception_handler(Exception, _unexpected)


def answer(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    """The problem as a response."""
    content = problem.model_dump(exclude_none=True)
    return JSONResponse(content, problem.status, headers=headers, media_type=MEDIA_TYPE)


def explain(slug: str) -> dict[str, Any] | None:
    """What ``/problems/<slug>`` says, None when there is no such kind."""
    for kind, status, name, title in KINDS:
        if name == slug:
            return {"title": title, "status": status, "detail": (kind.__doc__ or "").partition("\n")[0]}
    return None


async def _known(request: Request, error: Exception) -> JSONResponse:
    status, slug, title = next((status, slug, title) for kind, status, slug, title in KINDS if isinstance(error, kind))
    detail = str(error)
    items = _items(error) or None
    if isinstance(error, DBAPIError):
        _log.error("The database can't be used.", exc_info=error)
        detail = "The database does not answer. Try again; if that does not help, see the service's log."
    return answer(_problem(request, status, title, detail, slug, items))


def _items(error: Exception) -> list[ProblemItem]:
    """Where the things are that are wrong with a study, as far as that is known."""
    if isinstance(error, errors.SpecificationErrors):
        return [item for each in error.every for item in _items(each) or [ProblemItem(detail=str(each))]]
    if not isinstance(error, errors.SpaceError):
        return []
    return [
        ProblemItem(detail=each.problem, file=each.file, line=each.line, column=each.column, fix=each.fix)
        for each in error.every
    ]


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    items = [_item(entry) for entry in jsonable_encoder(error.errors())]
    detail = "; ".join(f"{item.parameter or item.pointer}: {item.detail}" for item in items[:5])
    return answer(_problem(request, 422, "The request is not valid", detail, "request", items))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    phrase = http.HTTPStatus(error.status_code).phrase
    detail = error.detail
    if error.status_code == 404 and detail == phrase:
        detail = f"There is nothing at {request.url.path}. GET /docs lists what there is."
    elif error.status_code == 405 and detail == phrase:
        detail = f"{request.method} is not possible at {request.url.path}."
    problem = Problem(title=phrase, status=error.status_code, detail=detail, instance=request.url.path)
    return answer(problem, dict(error.headers or {}))


async def _gone(request: Request, _error: Exception) -> Response:
    """Nobody reads this answer: the client went away while it sent its request."""
    _log.info("The client went away: %s %s", request.method, request.url.path)
    return Response(status_code=400)


async def _no_component(request: Request, _error: Exception) -> JSONResponse:
    return await _http(request, HTTPException(404))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    # Starlette raises the exception again once this is sent, so that the server logs its traceback.
    detail = f"An error that nobody foresaw ({type(error).__name__}). The service's log has its traceback."
    title = http.HTTPStatus.INTERNAL_SERVER_ERROR.phrase
    problem = Problem(title=title, status=500, detail=detail, instance=request.url.path)
    return answer(problem, fixed())  # this answer is made outside of every middleware


def _item(entry: dict[str, Any]) -> ProblemItem:
    place = [str(part) for part in entry["loc"]]
    if place and place[0] in ("query", "path", "header"):
        return ProblemItem(detail=entry["msg"], parameter=".".join(place[1:]))
    pointer = "#" + "".join(f"/{part}" for part in place if part != "body")
    return ProblemItem(detail=entry["msg"], pointer=pointer)


def _problem(
    request: Request, status: int, title: str, detail: str, slug: str, items: list[ProblemItem] | None
) -> Problem:
    return Problem(
        type=f"{request.scope.get('root_path', '')}/api/v1/problems/{slug}",
        title=title,
        status=status,
        detail=detail,
        instance=request.url.path,
        errors=items,
    )
