"""The two forms in which a study may be posted, as the OpenAPI document describes them.

FastAPI can't derive it, because one endpoint takes both.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from tuner.fields import StudyField, fields_of
from tuner.service.schemas import StudyRequest

# Files of the form; the fields beside them are those of the JSON.
FILES: dict[str, dict[str, Any]] = {
    "params_file": {
        "type": "string",
        "format": "binary",
        "description": "The search space: a hyper.test file, unless it is in params or space.",
    },
    "config_files": {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "description": "RecBole configuration files, weakest first. They may name model and dataset, too.",
    },
}
_COMPONENTS = "#/components/schemas/"


def form_schema(kind: type[StudyRequest] = StudyRequest) -> dict[str, Any]:
    """The form with files: every field of the JSON, structures as texts."""
    return {"type": "object", "properties": FILES | {field.name: _as_text(field) for field in fields_of(kind)}}


def describe(document: dict[str, Any], path: str) -> None:
    """Say in an OpenAPI document what may be posted to ``path``."""
    _, schemas = models_json_schema([(StudyRequest, "validation")], ref_template=f"{_COMPONENTS}{{model}}-Input")
    # Named as FastAPI names what is sent where the answer of that name differs: a default need not be sent.
    named = {f"{name}-Input": schema for name, schema in schemas["$defs"].items()}
    document.setdefault("components", {}).setdefault("schemas", {}).update(named)
    document["paths"][path]["post"]["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": f"{_COMPONENTS}{StudyRequest.__name__}-Input"}},
            "multipart/form-data": {"schema": form_schema()},
        },
    }


def _as_text(field: StudyField) -> dict[str, Any]:
    if field.kind != "structure":
        return field.schema
    form = "A name, or JSON." if field.choices else "As JSON."
    return {"type": "string", "title": field.label, "description": f"{field.description} {form}"}
