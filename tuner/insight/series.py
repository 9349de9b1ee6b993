"""The numbers behind the figures: bounded series read in one snapshot each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from tuner.store import Database, TrialState, optuna_tables
from tuner.store import stages as stage_rows
from tuner.store import studies as study_rows
from tuner.store.confirmations import slot_of_the_search
from tuner.store.states import VALUED_TRIAL_STATES
from tuner.store.tables import Epoch, SharedStage, Slot, StageEpoch, Study

# What a browser draws without a pause, and more than a screen has columns.
MOST_POINTS = 1500
MOST_CURVES = 30


@dataclass(frozen=True)
class History:
    """Values of the finished trials in the order of their numbers, and the best value so far at each.

    Attributes:
        numbers, values, best: equally long; ``best`` ignores pruned trials.
        pruned: which of them were pruned.
        baseline: the objective's value of the baseline, None while unknown.
    """

    metric: str
    direction: str
    numbers: np.ndarray[Any, np.dtype[np.int64]]
    values: np.ndarray[Any, np.dtype[np.float64]]
    best: np.ndarray[Any, np.dtype[np.float64]]
    pruned: np.ndarray[Any, np.dtype[np.bool_]]
    baseline: float | None


@dataclass(frozen=True)
class Curve:
    """One line: ``label`` says whose; ``role`` is best, main, running or other."""

    label: str
    role: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Sample:
    """Finished trials with their parameters: at most ``MOST_POINTS``, the best ones among them."""

    metric: str
    direction: str
    numbers: tuple[int, ...]
    values: tuple[float, ...]
    params: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Activity:
    """How much there is to draw; a figure whose counts are the same is the same.

    Attributes:
        ended: trials that ended.
        epochs: finished epochs of the study's trials.
        shared_epochs: finished epochs of the pretrainings that they use.
    """

    ended: int
    epochs: int
    shared_epochs: int


def activity(database: Database, name: str | int) -> Activity:
    """Counts that are much cheaper than the figures."""
    with database.session() as session:
        study = study_rows.find_study(session, name)
        slots = select(Slot.id).where(Slot.study_id == study.id)
        keys = _shared_keys(study)
        ended = select(func.count()).where(Slot.study_id == study.id, Slot.ended_at.is_not(None))
        epochs = select(func.count()).select_from(Epoch).where(Epoch.slot_id.in_(slots))
        shared = select(func.count()).select_from(StageEpoch).where(StageEpoch.stage_key.in_(keys))
        return Activity(*(session.scalar(query) or 0 for query in (ended, epochs, shared)))


def history(database: Database, name: str | int) -> History:
    """The study's optimization history, thinned to ``MOST_POINTS`` such that every improvement stays."""
    with database.session() as session:
        study = study_rows.find_study(session, name)
        found = session.execute(_finished(study, VALUED_TRIAL_STATES).order_by(Slot.optuna_number)).all()
    numbers = np.array([row.optuna_number for row in found], dtype=np.int64)
    values = np.array([row.value for row in found], dtype=np.float64)
    pruned = np.array([row.state is TrialState.PRUNED for row in found], dtype=np.bool_)
    best = _running_best(np.where(pruned, np.nan, values), study.direction)
    keep = _thinned(best)
    baseline = (study.baseline or {}).get("valid", {}).get(study.metric)
    return History(study.metric, study.direction, numbers[keep], values[keep], best[keep], pruned[keep], baseline)


def valid_curves(database: Database, name: str | int) -> tuple[str, list[Curve]]:
    """(metric, valid score after each epoch of the running and of the best trials)."""
    with database.session() as session:
        study = study_rows.find_study(session, name)
        chosen = _chosen_slots(session, study)
        query = (
            select(Epoch.slot_id, Epoch.epoch, Epoch.valid_score)
            .where(Epoch.slot_id.in_([slot_id for slot_id, _, _ in chosen]), Epoch.valid_score.is_not(None))
            .order_by(Epoch.slot_id, Epoch.epoch)
        )
        points: dict[int, list[tuple[int, float]]] = {}
        for slot_id, epoch, score in session.execute(query):
            points.setdefault(slot_id, []).append((epoch, float(score or 0.0)))
    curves = [_curve(f"trial {number}", role, points.get(slot_id, [])) for slot_id, number, role in chosen]
    return study.metric, [curve for curve in curves if curve.epochs]


def shared_curves(database: Database, name: str | int) -> list[Curve]:
    """Mean loss per sample after each epoch of every stage that trials of the study share, one curve a stage."""
    with database.session() as session:
        study = study_rows.find_study(session, name)
        keys = session.scalars(_shared_keys(study).limit(MOST_CURVES)).all()
        found = select(SharedStage.key, SharedStage.stage).where(SharedStage.key.in_(keys))
        names: dict[str, str] = dict(session.execute(found).all())
        query = (
            select(StageEpoch.stage_key, StageEpoch.epoch, StageEpoch.mean_loss)
            .where(StageEpoch.stage_key.in_(keys), StageEpoch.mean_loss.is_not(None))
            .order_by(StageEpoch.stage_key, StageEpoch.epoch)
        )
        points: dict[str, list[tuple[int, float]]] = {}
        for key, epoch, loss in session.execute(query):
            points.setdefault(key, []).append((epoch, float(loss or 0.0)))
    # The longest is drawn last, above the others, and in the accent color.
    ordered = sorted(points, key=lambda key: len(points[key]))
    return [
        _curve(f"{names[key]} {key[:7]}", "main" if key == ordered[-1] else "other", points[key]) for key in ordered
    ]


def _shared_keys(study: Study) -> Select[str]:
    """Keys of the stages that trials of the study share."""
    standing = stage_rows.standing(study.id)
    return select(standing.c.key).distinct().order_by(standing.c.key)


def sample(database: Database, name: str | int) -> Sample:
    """The best ``MOST_POINTS`` finished trials with their parameters in Optuna's representation.

    Parameters stand in the order of the space; a trial that somebody else added may lack some (None).
    """
    with database.session() as session:
        study = study_rows.find_study(session, name)
        best = optuna_tables.best_first(study.direction)
        found = session.execute(_finished(study, (TrialState.COMPLETED,)).order_by(*best).limit(MOST_POINTS)).all()
        params = optuna_tables.params_of(session, [row.trial_id for row in found])
    names = [entry["name"] for entry in study.specification["space"]["parameters"]]
    return Sample(
        study.metric,
        study.direction,
        tuple(row.optuna_number for row in found),
        tuple(row.value for row in found),
        tuple({name: params.get(row.trial_id, {}).get(name) for name in names} for row in found),
    )


def _finished(study: Study, states: tuple[TrialState, ...]) -> Any:
    trials, values = optuna_tables.trials, optuna_tables.trial_values
    return (
        select(Slot.id, Slot.optuna_number, Slot.state, trials.c.trial_id, values.c.value)
        .join(trials, optuna_tables.of_slot(study.optuna_id))
        .join(values, optuna_tables.of_trial())
        .where(Slot.study_id == study.id, Slot.state.in_(states), values.c.value.is_not(None))
        .where(slot_of_the_search())
    )


def _chosen_slots(session: Session, study: Study) -> list[tuple[int, int, str]]:
    """(slot id, trial number, role): other finished trials first, then running ones, the best one last."""
    finished = session.execute(
        _finished(study, VALUED_TRIAL_STATES).order_by(*optuna_tables.best_first(study.direction)).limit(MOST_CURVES)
    ).all()
    running = session.execute(
        select(Slot.id, Slot.optuna_number)
        .where(Slot.study_id == study.id, Slot.state == TrialState.RUNNING, Slot.optuna_number.is_not(None))
        .order_by(Slot.optuna_number)
        .limit(MOST_CURVES)
    ).all()
    completed = [row for row in finished if row.state is TrialState.COMPLETED]
    chosen = [(row.id, row.optuna_number, "other") for row in finished if row not in completed[:1]]
    chosen += [(row.id, row.optuna_number or 0, "running") for row in running]
    return chosen + [(row.id, row.optuna_number, "best") for row in completed[:1]]


def _curve(label: str, role: str, points: list[tuple[int, float]]) -> Curve:
    step = max(1, -(-len(points) // (MOST_POINTS // 5)))
    kept = [point for place, point in enumerate(points) if place % step == 0 or place == len(points) - 1]
    return Curve(label, role, tuple(epoch for epoch, _ in kept), tuple(value for _, value in kept))


def _running_best(
    values: np.ndarray[Any, np.dtype[np.float64]], direction: str
) -> np.ndarray[Any, np.dtype[np.float64]]:
    # fmax and fmin pass over the NaN of pruned trials.
    best = np.fmax if direction == "maximize" else np.fmin
    return np.asarray(best.accumulate(values)) if len(values) else values


def _thinned(best: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Indices to keep: where the best changes (the last such, if there are too many), and an even choice."""
    if len(best) <= MOST_POINTS:
        return np.arange(len(best))
    improved = np.flatnonzero(np.diff(best) != 0) + 1
    even = np.linspace(0, len(best) - 1, MOST_POINTS // 2).astype(np.intp)
    return np.union1d(even, improved[-MOST_POINTS // 2 :])
