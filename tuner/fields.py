"""What a field of a study is, declared with the field; flags, forms, controls, bounds and names are made of it.

A field is declared once, in :class:`tuner.specification.StudyOptions`: its type, bounds, default and text are
pydantic's, the rest is its :class:`Role`. Whoever shows fields to people or programs asks :func:`fields_of`, so that a
new one is everywhere at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from model.literals import parse_literal

Kind = Literal["whole number", "number", "yes or no", "one of", "structure", "text"]


@dataclass(frozen=True)
class Role:
    """What a field is to those who ask for a study.

    Attributes:
        budget: it says how much to run and how fast, not what is computed: one study may have it changed, and no name
            is made from it.
        first: the first version had it, so that names are made from its default as well.
        flag: the commands ``run`` and ``launch`` take it as ``--field``.
        also: other names of that flag.
        request_most: the largest number that a request may ask for.
        later: it may be raised while the study runs.
    """

    budget: bool = False
    first: bool = False
    flag: bool = True
    also: tuple[str, ...] = ()
    request_most: int | None = None
    later: bool = False


@dataclass(frozen=True)
class StudyField:
    """One field as forms and command lines see it.

    Attributes:
        schema: its JSON schema, complete in itself.
        kind: what is to be written for it; a structure may often be written as a name as well.
        choices: the words that it can be.
    """

    name: str
    role: Role
    label: str
    description: str
    default: Any
    schema: dict[str, Any]

    @property
    def kind(self) -> Kind:
        types = {part.get("type", "structure") for part in self._alternatives()}
        if types & {"object", "array", "structure"}:
            return "structure"
        if types == {"string"}:
            return "one of" if all("enum" in part for part in self._alternatives()) else "text"
        single: dict[str, Kind] = {"integer": "whole number", "number": "number", "boolean": "yes or no"}
        return single.get(next(iter(types)), "text") if len(types) == 1 else "text"

    @property
    def choices(self) -> tuple[str, ...]:
        return tuple(word for part in self._alternatives() for word in part.get("enum", ()))

    @property
    def default_text(self) -> str:
        """What stands for leaving it out; empty where only the description can say it."""
        value = getattr(self.default, "name", self.default)
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if value or value == 0 else ""

    def _alternatives(self) -> list[dict[str, Any]]:
        found = [part for part in self.schema.get("anyOf", [self.schema]) if part.get("type") != "null"]
        return [part if "const" not in part else part | {"enum": [part["const"]]} for part in found]


def role_of(field: FieldInfo) -> Role:
    """The role that a field was declared with."""
    return next((entry for entry in field.metadata if isinstance(entry, Role)), Role())


def fields_of(kind: type[BaseModel]) -> tuple[StudyField, ...]:
    """The fields of a class, in the order of their declaration."""
    schema = kind.model_json_schema()
    definitions = schema.get("$defs", {})
    return tuple(
        StudyField(
            name=name,
            role=role_of(field),
            label=field.title or name.replace("_", " ").capitalize(),
            description=field.description or "",
            default=field.get_default(call_default_factory=True, validated_data={}),
            schema=_complete(schema["properties"][name], definitions),
        )
        for name, field in kind.model_fields.items()
    )


def read_texts(kind: type[BaseModel], texts: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that came as texts, from flags or a form: structures are read as literals, the rest is pydantic's."""
    structures = {field.name for field in fields_of(kind) if field.kind == "structure"}
    return {
        name: parse_literal(value) if name in structures and isinstance(value, str) else value
        for name, value in texts.items()
    }


def _complete(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """The schema with what its references mean in their place."""
    if isinstance(schema, list):
        return [_complete(entry, definitions) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        meant = definitions[schema["$ref"].rpartition("/")[2]]
        schema = meant | {key: value for key, value in schema.items() if key != "$ref"}
    return {key: _complete(value, definitions) for key, value in schema.items()}
