"""What routes need: the database, the settings, and the two forms in which a study may be posted."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from model.literals import parse_yaml
from tuner import space
from tuner.bounded import assemble_bounded
from tuner.engine.studies.draft import Draft
from tuner.fields import read_texts
from tuner.limits import check_size
from tuner.service.schemas import StudyRequest
from tuner.service.study_body import FILES
from tuner.settings import Settings
from tuner.space import SearchSpace
from tuner.store import Database

_MOST_FILES = 20


def get_database(request: Request) -> Database:
    """The application's database."""
    return cast(Database, request.app.state.database)


def get_settings(request: Request) -> Settings:
    """The application's settings."""
    return cast(Settings, request.app.state.settings)


DatabaseOf = Annotated[Database, Depends(get_database)]
SettingsOf = Annotated[Settings, Depends(get_settings)]


async def read_study(request: Request, settings: SettingsOf) -> Draft:
    """The study that the body describes, as JSON or as a form with files; nobody else waits while it is read.

    Raises:
        RequestValidationError, SpaceError, ConfigError, SpecificationError: what is wrong with it.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "application/json":
        return await run_in_threadpool(_from_json, settings, await request.body())
    if content_type in ("multipart/form-data", "application/x-www-form-urlencoded"):
        async with request.form(max_files=_MOST_FILES) as form:
            files = {key: [await _content(entry, key) for entry in form.getlist(key)] for key in FILES}
            return await run_in_threadpool(_from_form, settings, form, files)
    raise HTTPException(415, "Send the study as application/json, or as multipart/form-data with a params_file.")


def _from_json(settings: Settings, body: bytes) -> Draft:
    try:
        study = StudyRequest.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(error) from None
    return _assemble(settings, study, _space_of(study))


def _from_form(settings: Settings, form: FormData, files: Mapping[str, list[tuple[str, bytes]]]) -> Draft:
    fields = {key: value for key, value in form.items() if isinstance(value, str) and key not in FILES}
    try:
        study = StudyRequest.model_validate(read_texts(StudyRequest, fields))
    except ValidationError as error:
        raise _invalid(error) from None
    merged: dict[str, Any] = {}
    for name, content in files["config_files"]:
        merged |= parse_yaml(content, name)
    study = study.model_copy(update={"config": merged | study.config})
    if not files["params_file"]:
        return _assemble(settings, study, _space_of(study))
    if len(files["params_file"]) > 1 or study.space is not None or study.params is not None:
        raise _invalid_field("params_file", "one search space is needed: a params_file, params or space")
    name, content = files["params_file"][0]
    return _assemble(settings, study, space.parse(space.decode(content, name), name))


def _space_of(study: StudyRequest) -> SearchSpace:
    check_size(study.space, "space")
    if (study.space is None) == (study.params is None):
        raise _invalid_field("params", "one search space is needed: either params or space")
    if study.space is not None:
        return space.from_document(study.space)
    return space.parse(study.params or "", "params")


def _assemble(settings: Settings, study: StudyRequest, searched: SearchSpace) -> Draft:
    asked = assemble_bounded(settings, study, searched)
    # Whoever posts the same thing twice without a name wants two studies.
    return asked if study.name is not None else asked.renamed(f"{asked.specification.name}-{secrets.token_hex(2)}")


async def _content(entry: UploadFile | str, key: str) -> tuple[str, bytes]:
    if isinstance(entry, str):
        raise _invalid_field(key, f"is a text; send the file itself (curl: -F {key}=@FILE)")
    return entry.filename or key, await entry.read()


def _invalid(error: ValidationError) -> RequestValidationError:
    return RequestValidationError(error.errors(include_url=False, include_context=False))


def _invalid_field(field: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"type": "value_error", "loc": ("body", field), "msg": message}])
