"""Adding trials to a study that exists: a larger budget, a trial by hand, a failed one again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import optuna

from tuner.engine.plan import Plan, make_plan
from tuner.engine.search import samplers
from tuner.engine.studies.creation import grid_slot, sampled_slot
from tuner.engine.studies.record import StudyRecord, record
from tuner.errors import SpecificationError, StudyStateError, TrialNotFound
from tuner.specification import GIVEN, StudySpecification, absolute
from tuner.store import Database, Session, StudyState, TrialState
from tuner.store import events as event_rows
from tuner.store import slots as slot_rows
from tuner.store import studies as study_rows
from tuner.store.claims import PRIORITY_ENQUEUED
from tuner.store.states import Origin
from tuner.store.tables import Study


def raise_budget(database: Database, name_or_id: str | int, max_trials: int) -> StudyRecord:
    """Let the study run ``max_trials`` trials in all; one that had ended goes on.

    Raises:
        SpecificationError: not more than now, or more than an exhaustive search has combinations.
        StudyStateError: the study was cancelled.
    """
    plan = _plan_of(database, name_or_id)
    with database.transaction() as session:
        study = _changeable(session, name_or_id)
        if max_trials <= study.max_trials:
            raise SpecificationError(f"{study.name} has a budget of {study.max_trials} trials already.")
        first = slot_rows.next_ordinal(session, study.id)
        if study.sampler["name"] == samplers.EXHAUSTIVE:
            slots = _rest_of_grid(session, study, plan, max_trials, first)
        else:
            slots = [sampled_slot(first + place) for place in range(max_trials - study.max_trials)]
        slot_rows.add_slots(session, study.id, slots)
        study.max_trials = max_trials
        _wake(session, study, f"budget raised to {max_trials} trials")
        return record(study)


def enqueue(database: Database, name_or_id: str | int, values: Mapping[str, Any]) -> StudyRecord:
    """Add a trial with these values of the searched parameters, to run before the others.

    Raises:
        SpaceError: a parameter is missing, unknown, or outside the space.
        StudyStateError: the study was cancelled.
    """
    plan = _plan_of(database, name_or_id)
    values = {name: absolute(value) if name.rpartition(".")[2] == GIVEN else value for name, value in values.items()}
    return _add_by_hand(database, name_or_id, plan, plan.space.representations(values), Origin.ENQUEUED)


def retry_trial(database: Database, name_or_id: str | int, number: int) -> StudyRecord:
    """Run the parameters of a failed, lost or cancelled trial again, as a new trial.

    Raises:
        TrialNotFound: the study has no such trial.
        StudyStateError: the trial did not fail, or the study was cancelled.
    """
    with database.session() as session:
        study = study_rows.find_study(session, name_or_id)
        slot = slot_rows.find_slot(session, study.id, number)
    if slot is None:
        raise TrialNotFound(f"{study.name} has no trial {number}.")
    if slot.origin is Origin.CONFIRM:
        raise StudyStateError(f"Trial {number} confirms trial {slot.confirms}; only trials of the search run again.")
    if slot.state not in (TrialState.FAILED, TrialState.LOST, TrialState.CANCELLED):
        raise StudyStateError(f"Trial {number} is {slot.state}; only failed trials are run again.")
    trials = optuna.load_study(study_name=study.optuna_name, storage=database.storage).get_trials(deepcopy=False)
    parameters = next(trial.params for trial in trials if trial.number == number)
    plan = _plan_of(database, study.id)
    return _add_by_hand(database, study.id, plan, parameters, Origin.RETRIED)


def _plan_of(database: Database, name_or_id: str | int) -> Plan:
    with database.session() as session:
        study = study_rows.find_study(session, name_or_id)
    return make_plan(StudySpecification.model_validate(study.specification))


def _changeable(session: Session, name_or_id: str | int) -> Study:
    study = study_rows.find_study(session, name_or_id, lock=True)
    if study.state is StudyState.CANCELLED:
        raise StudyStateError(f"{study.name} was cancelled. Create a new study instead.")
    if study.state is StudyState.STOPPING:
        raise StudyStateError(f"{study.name} is stopping. Wait until its running trials have ended.")
    return study


def _add_by_hand(
    database: Database, name_or_id: str | int, plan: Plan, parameters: Mapping[str, Any], origin: Origin
) -> StudyRecord:
    point = plan.point(parameters)
    with database.transaction() as session:
        study = _changeable(session, name_or_id)
        by_hand = {"origin": origin, "priority": PRIORITY_ENQUEUED}
        slot = grid_slot(point, slot_rows.next_ordinal(session, study.id)) | by_hand
        slot_rows.add_slots(session, study.id, [slot])
        study.max_trials += 1
        _wake(session, study, f"a trial was {origin}")
        return record(study)


def _rest_of_grid(session: Session, study: Study, plan: Plan, max_trials: int, first: int) -> list[dict[str, Any]]:
    known = {_text(parameters) for parameters in slot_rows.grid_parameters(session, study.id)}
    missing = [point for point in plan.grid() if _text(point.parameters) not in known]
    more = max_trials - study.max_trials
    if more > len(missing):
        raise SpecificationError(
            f"The space of {study.name} has {plan.space.size} combinations, of which {len(missing)} are not "
            f"in its budget yet; {more} can't be added."
        )
    return [grid_slot(point, first + place) for place, point in enumerate(missing[:more])]


def _wake(session: Session, study: Study, reason: str) -> None:
    """Let a study that had ended go on; a paused one stays paused."""
    if study.state.ended:
        study_rows.set_state(session, study, study_rows.going(study), reason)
    else:
        event_rows.add_event(session, study.id, "budget", f"{reason[0].upper()}{reason[1:]}.")


def _text(parameters: Mapping[str, Any] | None) -> str:
    return json.dumps(parameters, sort_keys=True)
