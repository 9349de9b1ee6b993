"""Studies: launching, looking at and steering them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from tuner import insight
from tuner.engine.studies import additions, creation, steering
from tuner.engine.studies.draft import Draft
from tuner.insight.kept_importance import KEEPER
from tuner.insight.summaries import Importances, StudySummary
from tuner.service.dependencies import DatabaseOf, SettingsOf, read_study
from tuner.service.schemas import BudgetRequest, StagePage, StudyCreated, StudyPage
from tuner.specification import MOST, StudySpecification
from tuner.store import StudyState

router = APIRouter(prefix="/studies", tags=["studies"])

Evaluator = Literal["auto", "fanova", "ped_anova", "mean_decrease_impurity"]

_VERBS = {"pause": steering.pause, "resume": steering.resume, "stop": steering.stop, "cancel": steering.cancel}


@router.post("", status_code=201)
def create_study(
    study: Annotated[Draft, Depends(read_study)],
    response: Response,
    database: DatabaseOf,
    settings: SettingsOf,
) -> StudyCreated:
    """Create a study; it starts as soon as a worker is free. `Location` is where to look at it."""
    created = creation.create(database, settings, study)
    response.headers["location"] = f"/api/v1/studies/{created.name}"
    fields: dict[str, Any] = asdict(created)
    return StudyCreated.model_validate({key: fields[key] for key in StudyCreated.model_fields})


@router.get("")
def list_studies(
    database: DatabaseOf,
    state: StudyState | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=MOST)] = 0,
) -> StudyPage:
    """Studies, newest first."""
    return insight.list_studies(database, state=state, limit=limit, offset=offset)


@router.get("/{name}")
def get_study(name: str, database: DatabaseOf) -> StudySummary:
    """One study by name or id."""
    return insight.get_study(database, name)


@router.patch("/{name}")
def raise_budget(name: str, budget: BudgetRequest, database: DatabaseOf) -> StudySummary:
    """Let the study run more trials; one that had ended goes on."""
    additions.raise_budget(database, name, budget.max_trials)
    return insight.get_study(database, name)


@router.delete("/{name}", status_code=204)
def delete_study(name: str, database: DatabaseOf, settings: SettingsOf) -> None:
    """Delete a study that has ended, with its trials and files."""
    steering.delete_study(database, settings, name)


@router.get("/{name}/specification")
def get_specification(name: str, database: DatabaseOf) -> StudySpecification:
    """What was asked for when the study was created."""
    return insight.get_specification(database, name)


@router.get("/{name}/stages")
def list_stages(
    name: str,
    database: DatabaseOf,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    offset: Annotated[int, Query(ge=0, le=MOST)] = 0,
) -> StagePage:
    """The stages that the study's trials share, those with the most trials first."""
    return insight.list_stages(database, name, limit=limit, offset=offset)


@router.get("/{name}/importances")
def get_importances(name: str, database: DatabaseOf, response: Response, evaluator: Evaluator = "auto") -> Importances:
    """How much each parameter matters, or the reason why that can't be said yet.

    Nothing is computed while you wait: 202 says that the result is being found, and to ask again. `pending` says that
    an earlier result is shown while newer trials are looked at. `auto` analyses a complete grid exactly and estimates
    by `fanova` otherwise; the shares of the other two are made to add up to 1.
    """
    found = KEEPER.get(database, name, evaluator)
    if found.pending and not found.effects:
        response.status_code = 202
        response.headers["retry-after"] = "1"
    return found


def _add_verb(verb: str) -> None:
    act = _VERBS[verb]

    def endpoint(name: str, database: DatabaseOf) -> StudySummary:
        act(database, name)
        return insight.get_study(database, name)

    router.add_api_route(
        f"/{{name}}/{verb}",
        endpoint,
        methods=["POST"],
        name=f"{verb}_study",
        description=(act.__doc__ or "").partition("\n")[0],
    )


for _verb in _VERBS:
    _add_verb(_verb)
