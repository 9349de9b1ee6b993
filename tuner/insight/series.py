"""The numbers behind the figures: bounded series read in one snapshot each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tuner.insight.queries import epochs as epoch_queries
from tuner.insight.queries import stages as stage_queries
from tuner.insight.queries import trials as trial_queries
from tuner.store import Database, Session, TrialState, optuna_tables
from tuner.store import studies as study_rows
from tuner.store.states import VALUED_TRIAL_STATES
from tuner.store.tables import Study

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
        return Activity(
            trial_queries.count_ended(session, study),
            epoch_queries.count_own(session, study),
            epoch_queries.count_shared(session, study),
        )


def history(database: Database, name: str | int) -> History:
    """The study's optimization history, thinned to ``MOST_POINTS`` such that every improvement stays."""
    with database.session() as session:
        study = study_rows.find_study(session, name)
        found = trial_queries.finished(session, study, VALUED_TRIAL_STATES)
    numbers = np.array([row.number for row in found], dtype=np.int64)
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
        points = epoch_queries.valid_scores(session, [slot_id for slot_id, _, _ in chosen])
    curves = [_curve(f"trial {number}", role, points.get(slot_id, [])) for slot_id, number, role in chosen]
    return study.metric, [curve for curve in curves if curve.epochs]


def shared_curves(database: Database, name: str | int) -> list[Curve]:
    """Mean loss per sample after each epoch of every stage that trials of the study share, one curve a stage."""
    with database.session() as session:
        study = study_rows.find_study(session, name)
        names = stage_queries.names(session, study, MOST_CURVES)
        points = epoch_queries.mean_losses(session, names.keys())
    # The longest is drawn last, above the others, and in the accent color.
    ordered = sorted(points, key=lambda key: len(points[key]))
    return [
        _curve(f"{names[key]} {key[:7]}", "main" if key == ordered[-1] else "other", points[key]) for key in ordered
    ]


def sample(database: Database, name: str | int) -> Sample:
    """The best ``MOST_POINTS`` finished trials with their parameters in Optuna's representation.

    Parameters stand in the order of the space; a trial that somebody else added may lack some (None).
    """
    with database.session() as session:
        study = study_rows.find_study(session, name)
        found = trial_queries.best(session, study, (TrialState.COMPLETED,), MOST_POINTS)
        params = optuna_tables.params_of(session, [row.trial_id for row in found])
    names = [entry["name"] for entry in study.specification["space"]["parameters"]]
    return Sample(
        study.metric,
        study.direction,
        tuple(row.number for row in found),
        tuple(row.value for row in found),
        tuple({name: params.get(row.trial_id, {}).get(name) for name in names} for row in found),
    )


def _chosen_slots(session: Session, study: Study) -> list[tuple[int, int, str]]:
    """(slot id, trial number, role): other finished trials first, then running ones, the best one last."""
    finished = trial_queries.best(session, study, VALUED_TRIAL_STATES, MOST_CURVES)
    running = trial_queries.running(session, study, MOST_CURVES)
    completed = [row for row in finished if row.state is TrialState.COMPLETED]
    chosen = [(row.slot_id, row.number, "other") for row in finished if row not in completed[:1]]
    chosen += [(slot_id, number, "running") for slot_id, number in running]
    return chosen + [(row.slot_id, row.number, "best") for row in completed[:1]]


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
