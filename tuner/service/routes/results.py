"""What is taken away from a study: a configuration, its trials as a file, its figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse

from tuner.insight.configuration import FORMS, trial_configuration
from tuner.insight.export import FORMATS, export
from tuner.insight.figures import FIGURES
from tuner.insight.theme import THEMES
from tuner.service.dependencies import DatabaseOf
from tuner.specification import MOST

router = APIRouter(prefix="/studies/{name}", tags=["results"])

Form = Annotated[Literal[*FORMS], Query(alias="format")]  # type: ignore[valid-type]
Format = Annotated[Literal[*FORMATS], Query(alias="format")]  # type: ignore[valid-type]
Kind = Literal[*FIGURES]  # type: ignore[valid-type]
Look = Literal[*THEMES]  # type: ignore[valid-type]

_MEDIA_TYPES = {"json": "application/json", "yaml": "application/yaml", "recbole": "application/yaml"}
_TEXT: dict[str, Any] = {"type": "string"}
CONFIGURATION: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The configuration in the form that was asked for.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/yaml": {"schema": _TEXT},
            "text/plain": {"schema": _TEXT},
        },
    }
}
FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file, sent while it is written.",
        "content": {chosen.media_type: {"schema": _TEXT | {"format": "binary"}} for chosen in FORMATS.values()},
    }
}
FIGURE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A figure as Plotly reads it: `data` and `layout`.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


@router.get("/best", response_class=Response, responses=CONFIGURATION)
def get_best(name: str, database: DatabaseOf, form: Form = "json") -> Response:
    """The best trial's configuration, to be used as it is: `recbole` has a YAML document for each stage."""
    return _configuration(database, name, None, form)


@router.get("/trials/{number}/configuration", response_class=Response, responses=CONFIGURATION)
def get_configuration(
    name: str, number: Annotated[int, Path(ge=0, le=MOST)], database: DatabaseOf, form: Form = "json"
) -> Response:
    """One trial's configuration, in the same forms as the best one's."""
    return _configuration(database, name, number, form)


@router.get("/export", response_class=StreamingResponse, responses=FILE)
def export_trials(name: str, database: DatabaseOf, chosen: Format = "csv") -> StreamingResponse:
    """All trials as a file. `recbole` is what run_hyper.py writes; `parquet` needs `rectuner[parquet]`."""
    file_name, pieces = export(database, name, chosen)
    headers = {"content-disposition": f'attachment; filename="{file_name}"'}
    return StreamingResponse(_begun(pieces), media_type=FORMATS[chosen].media_type, headers=headers)


@router.get("/plots/{kind}", response_class=Response, responses=FIGURE)
def get_plot(name: str, kind: Kind, database: DatabaseOf, theme: Look = "light") -> Response:
    """A figure of the dashboard, bounded in points whatever the study's size."""
    figure = FIGURES[kind](database, name, theme)
    return Response(figure.to_json(), media_type="application/json")


def _configuration(database: DatabaseOf, name: str, number: int | None, form: str) -> Response:
    found = trial_configuration(database, name, number)
    return Response(FORMS[form](found), media_type=_MEDIA_TYPES.get(form, "text/plain"))


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, of which the first is there: what goes wrong until then has a status of its own."""
    first = next(pieces, b"")

    def all_of_them() -> Iterator[bytes]:
        yield first
        yield from pieces

    return all_of_them()
