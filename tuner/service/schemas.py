"""Bodies that only the REST interface has; everything else it returns is what :mod:`tuner.insight` reports."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from model.parameters import Parameter
from model.registry import DEFAULT, get_model
from tuner.errors import SpecificationError
from tuner.fields import role_of
from tuner.insight.summaries import EventSummary, Page, StageSummary, StudySummary, TrialSummary
from tuner.limits import check_number
from tuner.specification import StudyOptions


def _as_requested(schema: dict[str, Any]) -> None:
    """Say in the schema what a request may ask for at most, and give an example."""
    for name, field in StudyOptions.model_fields.items():
        most = role_of(field).request_most
        for part in schema["properties"][name].get("anyOf", [schema["properties"][name]]):
            if most is not None and "maximum" in part:
                part["maximum"] = most
    schema["example"] = {
        "model": DEFAULT,
        "dataset": "ml-100k",
        "params": get_model(DEFAULT).search_space,
        "config": {"train_batch_size": 512},
        "sampler": "auto",
    }


class StudyRequest(StudyOptions):
    """A study to create: the search space is either ``space`` or ``params``."""

    space: dict[str, Any] | None = Field(
        default=None, description='What `tuner space FILE --json` prints: {"parameters": [...]}.'
    )
    params: str | None = Field(default=None, description="The text of a hyper.test file.")

    model_config = StudyOptions.model_config | {"json_schema_extra": _as_requested}

    @field_validator("*")
    @classmethod
    def _not_too_much(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.field_name or ""
        try:
            check_number(name, role_of(cls.model_fields[name]), value)
        except SpecificationError as error:
            raise PydanticCustomError("too_much", "{words}", {"words": str(error)}) from None
        return value


class StudyCreated(BaseModel):
    """The answer to a created study; ``warnings`` are remarks about what was asked for."""

    id: int
    name: str
    state: str
    max_trials: int
    created_at: datetime
    warnings: list[str]


class BudgetRequest(BaseModel):
    """What is changed later: a new trial budget."""

    max_trials: int = Field(ge=1, le=role_of(StudyOptions.model_fields["max_trials"]).request_most)


class TrialRequest(BaseModel):
    """A trial to run before the others: a value for every searched parameter."""

    params: dict[str, Any]


class ParameterSchema(BaseModel):
    """One configuration key."""

    name: str
    kind: str
    default: Any
    doc: str
    choices: list[Any] | None
    minimum: float | None
    maximum: float | None
    nullable: bool
    stages: list[str]

    @classmethod
    def of(cls, parameter: Parameter) -> ParameterSchema:
        """The parameter as JSON has it."""
        return cls(
            name=parameter.name,
            kind=parameter.kind,
            default=parameter.default,
            doc=parameter.doc,
            choices=None if parameter.choices is None else list(parameter.choices),
            minimum=parameter.minimum,
            maximum=parameter.maximum,
            nullable=parameter.nullable,
            stages=sorted(parameter.stages),
        )


class ModelSummary(BaseModel):
    """A model that studies may tune."""

    name: str
    summary: str
    stages: list[str]


class ModelSchema(ModelSummary):
    """A model with all of its configuration keys."""

    parameters: list[ParameterSchema]
    search_space: str = Field(description="A params file worth beginning with; empty when there is none.")


class Version(BaseModel):
    """What runs here."""

    name: str = "rectuner"
    version: str
    api: str = "v1"
    python: str
    torch: str
    optuna: str


class HealthReport(BaseModel):
    """``ok``: studies can run; ``degraded``: the service answers, but see ``detail``."""

    status: str
    detail: str | None
    database: str
    database_ok: bool
    workers_wanted: int
    workers_alive: int
    studies: dict[str, int]


StudyPage = Page[StudySummary]
TrialPage = Page[TrialSummary]
StagePage = Page[StageSummary]
EventPage = Page[EventSummary]
