"""Optuna's tables as far as they are read past Optuna, never written here.

Optuna's storage API loads whole trials, all of a study at once; a page of a list, or the number of the best, needs a
few columns of a few rows. States are taken from our slots: Optuna's column has a type of its own on PostgreSQL.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Double, Integer, Text, and_, column, select, table
from sqlalchemy.orm import Session

from tuner.store.confirmations import slot_of_the_search
from tuner.store.states import TrialState
from tuner.store.tables import Slot, Study
from tuner.store.trial_outcome import SAME_AS

# Rows are asked for by id in portions, because databases limit the parameters of a statement.
_PORTION = 500

trials = table("trials", column("trial_id", Integer), column("number", Integer), column("study_id", Integer))
trial_values = table("trial_values", column("trial_id", Integer), column("objective", Integer), column("value", Double))
_params = table(
    "trial_params",
    column("trial_id", Integer),
    column("param_name", Text),
    column("param_value", Double),
    column("distribution_json", Text),
)
_attributes = table(
    "trial_user_attributes", column("trial_id", Integer), column("key", Text), column("value_json", Text)
)


def of_slot(study_id: Any) -> ColumnElement[bool]:
    """The trial of a slot, in the study of that id in Optuna."""
    return and_(trials.c.study_id == study_id, trials.c.number == Slot.optuna_number)


def of_trial() -> ColumnElement[bool]:
    """The value of a trial."""
    return and_(trial_values.c.trial_id == trials.c.trial_id, trial_values.c.objective == 0)


def best_first(direction: str) -> tuple[Any, ...]:
    """Order by value, the earlier of equal ones first."""
    value = trial_values.c.value
    return value.desc() if direction == "maximize" else value.asc(), Slot.optuna_number


def best_number(session: Session, study: Study) -> int | None:
    """The best completed trial of the search, the earliest of equal ones; None while there is none."""
    return next(iter(best_numbers(session, study, 1)), None)


def best_numbers(
    session: Session, study: Study, limit: int | None = None, *, among: Collection[int] | None = None
) -> list[int]:
    """The completed trials of the search that were trained, the best first, the earlier of equal ones first.

    Args:
        among: look at these trials only.
    """
    query = (
        select(Slot.optuna_number)
        .join(trials, of_slot(study.optuna_id))
        .join(trial_values, of_trial())
        .where(Slot.study_id == study.id, Slot.state == TrialState.COMPLETED, slot_of_the_search())
        .where(~_takes_over_a_result())
        .order_by(*best_first(study.direction))
        .limit(limit)
    )
    if among is not None:
        query = query.where(Slot.optuna_number.in_(among))
    return [number for number in session.scalars(query) if number is not None]


def _takes_over_a_result() -> ColumnElement[bool]:
    """Whether the trial has the result of another one with the same parameters."""
    mark = select(_attributes.c.key).where(_attributes.c.trial_id == trials.c.trial_id, _attributes.c.key == SAME_AS)
    return mark.correlate(trials).exists()


def result_of(session: Session, study: Study, number: int) -> int:
    """The trial that was trained for the result of trial ``number``: itself, or one with the same parameters."""
    query = select(trials.c.trial_id).where(trials.c.study_id == study.optuna_id, trials.c.number == number)
    trial_id = session.scalar(query)
    found = {} if trial_id is None else attributes_of(session, [trial_id], (SAME_AS,)).get(trial_id, {})
    return int(found.get(SAME_AS, number))


def params_of(session: Session, trial_ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Parameters by trial id, in Optuna's external representation."""
    found: dict[int, dict[str, Any]] = {}
    for ids in _portions(trial_ids):
        for row in session.execute(select(_params).where(_params.c.trial_id.in_(ids))):
            value = _external(row.distribution_json, row.param_value)
            found.setdefault(row.trial_id, {})[row.param_name] = value
    return found


def _external(distribution: str, value: float) -> Any:
    """What ``BaseDistribution.to_external_repr`` makes of a value, without Optuna: a list of trials does not wait."""
    found = json.loads(distribution)
    match found.get("name"):
        case "CategoricalDistribution":
            return found["attributes"]["choices"][int(value)]
        case "FloatDistribution":
            return value
        case "IntDistribution":
            return int(value)
    # What others put into the study long ago.
    from optuna.distributions import json_to_distribution

    return json_to_distribution(distribution).to_external_repr(value)


def attributes_of(session: Session, trial_ids: Iterable[int], keys: tuple[str, ...]) -> dict[int, dict[str, Any]]:
    """User attributes of the given names, by trial id."""
    found: dict[int, dict[str, Any]] = {}
    for ids in _portions(trial_ids):
        query = select(_attributes).where(_attributes.c.trial_id.in_(ids), _attributes.c.key.in_(keys))
        for row in session.execute(query):
            found.setdefault(row.trial_id, {})[row.key] = json.loads(row.value_json)
    return found


def _portions(ids: Iterable[int]) -> Iterable[list[int]]:
    wanted = list(ids)
    for start in range(0, len(wanted), _PORTION):
        yield wanted[start : start + _PORTION]
