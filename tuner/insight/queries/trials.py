"""Trials: pages of them, the finished ones with their values, those that go on, and confirmations."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from tuner.store import optuna_tables, tables
from tuner.store.confirmations import slot_confirms, slot_of_the_search
from tuner.store.optuna_tables import trial_values, trials
from tuner.store.states import VALUED_TRIAL_STATES, TrialState
from tuner.store.tables import Slot, Study, Worker

# What trials can be ordered by, as in tuner.insight.trials.TrialOrder.
ORDERS: dict[str, Any] = {
    "number": Slot.optuna_number,
    "value": trial_values.c.value,
    "started_at": Slot.started_at,
    "ended_at": Slot.ended_at,
    "state": Slot.state,
}


class Finished(NamedTuple):
    """A trial of the search that has a value; ``trial_id`` is Optuna's."""

    slot_id: int
    number: int
    state: TrialState
    trial_id: int
    value: float


class Costs(NamedTuple):
    """What a finished trial has cost: seconds of all epochs that were run for it."""

    slot_id: int
    seconds_run: float
    trial_id: int


def page(
    session: Session, study: Study, state: TrialState | None, order: str, limit: int, offset: int
) -> tuple[int, Sequence[Row[Any]]]:
    """(number of all, those of the page as :func:`one` has them).

    Args:
        order: one of ``ORDERS``, with ``-`` in front for descending; trials that lack it come last.
    """
    query = _looked_at(study, state)
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    column = ORDERS[order.removeprefix("-")]
    wanted = column.desc() if order.startswith("-") else column.asc()
    ordered = query.order_by(wanted.nulls_last(), Slot.optuna_number.asc().nulls_last(), Slot.ordinal)
    return total, session.execute(ordered.limit(limit).offset(offset)).all()


def following(session: Session, study: Study, state: TrialState | None, ordinal: int, limit: int) -> Sequence[Row[Any]]:
    """The next trials behind that place in the study's order of work, as :func:`one` has them."""
    query = _looked_at(study, state).where(Slot.ordinal > ordinal)
    return session.execute(query.order_by(Slot.ordinal).limit(limit)).all()


def one(session: Session, study: Study, number: int) -> Row[Any] | None:
    """A trial as (Slot, trial_id, value, host, pid, Progress): its slot, Optuna's trial, its worker, where it is."""
    return session.execute(_looked_at(study, None).where(Slot.optuna_number == number)).one_or_none()


def _looked_at(study: Study, state: TrialState | None) -> Select[Any]:
    query = (
        select(Slot, trials.c.trial_id, trial_values.c.value, Worker.host, Worker.pid, tables.Progress)
        .outerjoin(trials, optuna_tables.of_slot(study.optuna_id))
        .outerjoin(trial_values, optuna_tables.of_trial())
        .outerjoin(Worker, Worker.id == Slot.worker_id)
        .outerjoin(tables.Progress, tables.Progress.slot_id == Slot.id)
        .where(Slot.study_id == study.id)
    )
    return query if state is None else query.where(Slot.state == state)


def finished(session: Session, study: Study, states: Collection[TrialState]) -> Sequence[Finished]:
    """All trials of the search that ended in one of ``states`` with a value, in the order of their numbers."""
    return [Finished(*row) for row in session.execute(_finished(study, states).order_by(Slot.optuna_number))]


def best(session: Session, study: Study, states: Collection[TrialState], limit: int) -> Sequence[Finished]:
    """Those of :func:`finished` with the best values, the best first, the earlier of equal ones first."""
    ordered = _finished(study, states).order_by(*optuna_tables.best_first(study.direction))
    return [Finished(*row) for row in session.execute(ordered.limit(limit))]


def _finished(study: Study, states: Collection[TrialState]) -> Select[Any]:
    return (
        select(Slot.id, Slot.optuna_number, Slot.state, trials.c.trial_id, trial_values.c.value)
        .join(trials, optuna_tables.of_slot(study.optuna_id))
        .join(trial_values, optuna_tables.of_trial())
        .where(Slot.study_id == study.id, Slot.state.in_(states), slot_of_the_search())
        .where(trial_values.c.value.is_not(None))
    )


def completed(session: Session, study: Study) -> tuple[int, int]:
    """(how many trials of the search have completed, the highest number among them), without Optuna's tables."""
    query = select(func.count(), func.max(Slot.optuna_number))
    query = query.where(Slot.study_id == study.id, Slot.state == TrialState.COMPLETED, slot_of_the_search())
    count, newest = session.execute(query).one()
    return int(count), int(newest or 0)


def count_ended(session: Session, study: Study) -> int:
    """The number of trials that have ended, confirmations included."""
    return session.scalar(select(func.count()).where(Slot.study_id == study.id, Slot.ended_at.is_not(None))) or 0


def running(session: Session, study: Study, limit: int) -> Sequence[tuple[int, int]]:
    """(slot, number) of trials that run, confirmations included, in the order of their numbers."""
    query = select(Slot.id, Slot.optuna_number).where(
        Slot.study_id == study.id, Slot.state == TrialState.RUNNING, Slot.optuna_number.is_not(None)
    )
    return [(slot, number or 0) for slot, number in session.execute(query.order_by(Slot.optuna_number).limit(limit))]


def running_of_the_search(session: Session, study: Study) -> Sequence[int]:
    """Slots of the trials of the search that run."""
    query = select(Slot.id).where(Slot.study_id == study.id, Slot.state == TrialState.RUNNING, slot_of_the_search())
    return session.scalars(query).all()


def latest_costs(session: Session, study: Study, limit: int) -> Sequence[Costs]:
    """What the finished trials of the search with the highest numbers have cost, in the order of their numbers."""
    query = (
        select(Slot.id, Slot.seconds_run, trials.c.trial_id)
        .join(trials, optuna_tables.of_slot(study.optuna_id))
        .where(Slot.study_id == study.id, Slot.state.in_(VALUED_TRIAL_STATES))
        .where(slot_of_the_search())
    )
    latest = session.execute(query.order_by(Slot.optuna_number.desc()).limit(limit)).all()
    return [Costs(*row) for row in reversed(latest)]


def confirmations(session: Session, study: Study) -> Sequence[Row[Any]]:
    """(confirms, seed, state, parameters, trial_id, value) of every confirmation that was not left out, in order."""
    return session.execute(
        select(Slot.confirms, Slot.seed, Slot.state, Slot.parameters, trials.c.trial_id, trial_values.c.value)
        .outerjoin(trials, optuna_tables.of_slot(study.optuna_id))
        .outerjoin(trial_values, optuna_tables.of_trial())
        .where(Slot.study_id == study.id, slot_confirms(), Slot.state != TrialState.CANCELLED)
        .order_by(Slot.ordinal)
    ).all()


def values(session: Session, study: Study, numbers: Collection[int]) -> dict[int, float]:
    """The values of those of the trials that have one, by number."""
    query = (
        select(trials.c.number, trial_values.c.value)
        .join(trial_values, optuna_tables.of_trial())
        .where(trials.c.study_id == study.optuna_id, trials.c.number.in_(numbers))
    )
    return dict(session.execute(query).all())
