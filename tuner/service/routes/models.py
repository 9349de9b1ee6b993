"""The models that can be tuned, and their parameters."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.exceptions import HTTPException

from model.registry import get_model, model_names, parameters_of
from tuner.service.schemas import ModelSchema, ModelSummary, ParameterSchema

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
def list_models() -> list[ModelSummary]:
    """All models."""
    return [_summary(name) for name in model_names()]


@router.get("/{name}")
def get_model_schema(name: str) -> ModelSchema:
    """One model with every configuration key: type, default, bounds, and the stages that it shapes."""
    if name not in model_names():
        raise HTTPException(404, f"There is no model {name!r}. There are: {', '.join(model_names())}.")
    parameters = [ParameterSchema.of(parameter) for parameter in parameters_of(name).values()]
    suggested = get_model(name).search_space
    return ModelSchema(**_summary(name).model_dump(), parameters=parameters, search_space=suggested)


def _summary(name: str) -> ModelSummary:
    definition = get_model(name)
    return ModelSummary(name=name, summary=definition.summary, stages=[stage.name for stage in definition.stages])
