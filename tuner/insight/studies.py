"""Studies as people look at them: paged, bounded, one consistent snapshot each."""

from __future__ import annotations

from typing import Any

from model.protocol import given_protocol
from model.registry import get_model, model_names
from tuner.insight.confirmation import confirmation
from tuner.insight.queries import studies as study_queries
from tuner.insight.summaries import EpochCounts, Page, StudySummary, TrialSummary, Weights
from tuner.insight.time_left import eta_seconds
from tuner.insight.trials import find_trial
from tuner.space import SearchSpace
from tuner.specification import GIVEN, StudySpecification
from tuner.store import Database, Session, StudyState, TrialState, optuna_tables
from tuner.store import slots as slot_rows
from tuner.store import studies as study_rows
from tuner.store import workers as worker_rows
from tuner.store.tables import Study


def list_studies(
    database: Database, *, state: str | None = None, limit: int = 50, offset: int = 0
) -> Page[StudySummary]:
    """Studies, newest first; ``state`` keeps those in one state."""
    wanted = None if state is None else StudyState(state)
    with database.session() as session:
        total, found = study_queries.page(session, wanted, limit, offset)
        items = tuple(_study(database, session, study) for study in found)
    return Page(items, total, limit, offset)


def get_study(database: Database, name: str | int) -> StudySummary:
    """One study by name or id.

    Raises:
        StudyNotFound: there is none.
    """
    with database.session() as session:
        return _study(database, session, study_rows.find_study(session, name))


def get_specification(database: Database, name: str | int) -> StudySpecification:
    """What was asked for when the study was created.

    Raises:
        StudyNotFound: there is no such study.
    """
    with database.session() as session:
        return StudySpecification.model_validate(study_rows.find_study(session, name).specification)


def parameter_names(database: Database, name: str | int) -> list[str]:
    """The searched parameters in declared order."""
    with database.session() as session:
        study = study_rows.find_study(session, name)
    return list(SearchSpace.from_json(study.specification["space"]).names)


def _study(database: Database, session: Session, study: Study) -> StudySummary:
    counts = slot_rows.count_slots(session, study.id)
    best = _best(session, study)
    return StudySummary(
        id=study.id,
        name=study.name,
        model=study.specification["model"],
        dataset=study.specification["dataset"],
        state=str(study.state),
        reason=study.reason,
        outage=study.outage,
        metric=study.metric,
        direction=study.direction,
        sampler=study.sampler["name"],
        trials_total=study.max_trials,
        counts={str(state): count for state, count in sorted(counts.items())},
        best_value=best.value if best else None,
        best_trial=best.number if best else None,
        best_params=best.params if best else None,
        best_valid_result=best.valid_result if best else None,
        best_test_result=best.test_result if best else None,
        baseline=study.baseline,
        created_at=study.created_at,
        started_at=study.started_at,
        ended_at=study.ended_at,
        eta_seconds=eta_seconds(session, study, counts.get(TrialState.WAITING, 0)),
        workers_wanted=study.workers,
        workers_alive=sum(worker_rows.count_alive(session, database.now(session)).values()),
        epochs=EpochCounts(*study_queries.shared_epochs(session, study)),
        protocol=given_protocol(study.specification["config"]),
        computing_seconds=slot_rows.computing_seconds(session, study.id),
        shared_stages=_shared_stages(study.specification),
        weights=Weights(study.specification.get("keep", "best"), *slot_rows.weights_kept(session, study.id)),
        confirmation=confirmation(session, study) if study.specification.get("confirm") else None,
    )


def _shared_stages(specification: dict[str, Any]) -> tuple[str, ...]:
    """None where every trial begins from a pretrained model that it names."""
    model = specification["model"]
    if model not in model_names():
        return ()
    own = get_model(model).stages[-1].name
    named = (GIVEN, f"{own}.{GIVEN}")
    paths = [value for key, value in specification["config"].items() if key in named]
    for entry in specification["space"]["parameters"]:
        if entry["name"] in named:
            paths = entry.get("values", [])
    if paths and all(paths):
        return ()
    return tuple(stage.name for stage in get_model(model).shared_stages)


def _best(session: Session, study: Study) -> TrialSummary | None:
    number = optuna_tables.best_number(session, study)
    return None if number is None else find_trial(session, study, number)
