"""How much each parameter matters for the objective: exactly for a complete grid, else as a forest estimates it.

A share is a part of the objective's variation over the searched space. What parameters do only together is told apart
from what each does alone: in a complete grid as interactions, in an estimate as the rest.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import optuna
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    MeanDecreaseImpurityImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.search_space import intersection_search_space
from optuna.storages import InMemoryStorage

from tuner.insight.evidence import AUTO, FEWEST_TRIALS, check, mark_of, too_little
from tuner.insight.queries import trials as trial_queries
from tuner.insight.summaries import Effect, Importances
from tuner.space import SearchSpace
from tuner.store import Database, Session, TrialState, optuna_tables
from tuner.store import studies as study_rows
from tuner.store.tables import Study

# A forest takes time by the square of the trials that it sees: of more, an even choice is looked at.
MOST_TRIALS = 200
# Combinations of a complete grid that are read whole.
MOST_COMBINATIONS = 2000
# Where eight of ten trees of the forest lie.
_RANGE = (10, 90)
_TREES = 64

# PED-ANOVA compares the best share of the trials with all. Optuna's default, a tenth, is a single trial of a small
# study, and one trial says the same of every parameter; so the share holds at least this many.
_GOOD_TRIALS = 5

Values = np.ndarray[Any, np.dtype[np.float64]]


def importances(database: Database, name: str | int, evaluator: str = AUTO) -> Importances:
    """The importance of a study's parameters. It takes seconds: no web request should wait for it.

    Raises:
        StudyNotFound: there is no such study.
        ValueError: there is no such evaluator.
    """
    check(evaluator)
    with database.session() as session:
        study = study_rows.find_study(session, name)
        if (early := too_little(study, mark_of(session, study), evaluator)) is not None:
            return early
        trials = _read(session, study)
    return _analysed(trials, evaluator)


@dataclass(frozen=True)
class _Trials:
    """Completed trials: parameters in Optuna's representation, and values."""

    space: SearchSpace
    completed: int
    direction: Literal["minimize", "maximize"]
    params: tuple[dict[str, Any], ...]
    values: Values


def _read(session: Session, study: Study) -> _Trials:
    space = SearchSpace.from_json(study.specification["space"])
    found = trial_queries.finished(session, study, (TrialState.COMPLETED,))
    most = MOST_COMBINATIONS if len(found) == space.size else MOST_TRIALS
    if len(found) > most:
        found = [found[int(place)] for place in np.linspace(0, len(found) - 1, MOST_TRIALS)]
    params = optuna_tables.params_of(session, [row.trial_id for row in found])
    # What somebody else put into the Optuna study may lack parameters.
    names = set(space.names)
    whole = [row for row in found if params.get(row.trial_id, {}).keys() == names]
    return _Trials(
        space,
        len(found) if len(found) < most else mark_of(session, study).completed,
        "maximize" if study.direction == "maximize" else "minimize",
        tuple(params[row.trial_id] for row in whole),
        np.array([row.value for row in whole], dtype=np.float64),
    )


def _analysed(trials: _Trials, evaluator: str) -> Importances:
    found = Importances("fanova" if evaluator == AUTO else evaluator, "", len(trials.values), trials.completed)
    if len(trials.values) == 0 or np.ptp(trials.values) == 0:
        return replace(found, reason="all completed trials have the same value")
    grid = _complete_grid(trials) if evaluator == AUTO else None
    if grid is not None:
        return _exact(found, trials.space.names, grid)
    if evaluator == AUTO and len(trials.values) < FEWEST_TRIALS:
        # As many trials as the grid has combinations, but not every combination once.
        return replace(found, reason=f"too few trials ({len(trials.values):,} of {FEWEST_TRIALS:,})")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's, about interfaces that may change
        estimate = _fanova if found.evaluator == "fanova" else _by_optuna
        return estimate(found, _study_of(trials))


def _complete_grid(trials: _Trials) -> Values | None:
    """The values with an axis for each parameter where every combination is there once, else None."""
    if trials.space.size != len(trials.values):
        return None
    columns = [[repr(params[name]) for params in trials.params] for name in trials.space.names]
    levels = [list(dict.fromkeys(column)) for column in columns]
    grid = np.full([len(names) for names in levels], np.nan)
    if grid.size != len(trials.values):
        return None
    for place, value in enumerate(trials.values):
        grid[tuple(names.index(column[place]) for names, column in zip(levels, columns, strict=True))] = value
    return None if np.isnan(grid).any() else grid


def _exact(found: Importances, names: Sequence[str], grid: Values) -> Importances:
    """Analysis of variance of a full factorial, as shares of the variance over all combinations.

    A parameter's effect is the variance of the means at its values; an interaction's is the variance of the means at
    the pairs of values, less what the two explain alone. The rest are interactions of three and more.
    """
    axes = range(grid.ndim)

    def explained(*kept: int) -> float:
        return float(grid.mean(axis=tuple(axis for axis in axes if axis not in kept)).var() / grid.var())

    alone = {axis: explained(axis) for axis in axes}
    pairs = {(i, j): explained(i, j) - alone[i] - alone[j] for i, j in itertools.combinations(axes, 2)}
    effects = [Effect((names[axis],), share) for axis, share in alone.items()]
    together = [Effect((names[i], names[j]), max(share, 0.0)) for (i, j), share in pairs.items()]
    rest = max(1.0 - sum(effect.share for effect in (*effects, *together)), 0.0)
    method = f"exact analysis of variance of all {grid.size:,} combinations"
    ordered = (*_largest_first(effects), *_largest_first(together))
    return replace(found, evaluator="exact", method=method, effects=ordered, rest=rest)


def _fanova(found: Importances, study: optuna.Study) -> Importances:
    evaluator = FanovaImportanceEvaluator(n_trees=_TREES, seed=0)
    shares = evaluator.evaluate(study)
    searched = intersection_search_space(study.get_trials(deepcopy=False))
    places = {name: place for place, name in enumerate(name for name, d in searched.items() if not d.single())}
    # Optuna tells the mean over the trees; how far they lie apart says what the mean is worth.
    forest = cast(Any, evaluator)._evaluator
    wholes = np.array([tree.variance for tree in forest._trees])
    effects = []
    for name, share in shares.items():
        low, high = 0.0, 0.0
        if name in places:
            parts = forest._variances[places[name]][wholes > 0] / wholes[wholes > 0]
            low, high = (float(bound) for bound in np.percentile(parts, _RANGE))
        effects.append(Effect((name,), float(share), low, high))
    rest = max(1.0 - sum(effect.share for effect in effects), 0.0)
    method = f"fANOVA with {_TREES} trees on {_number(found)}; the range holds eight of ten trees"
    return replace(found, method=method, effects=_largest_first(effects), rest=rest)


def _by_optuna(found: Importances, study: optuna.Study) -> Importances:
    """An evaluator whose shares are made to add up to 1, so that they are ranks rather than parts of the variation."""
    good = max(0.1, min(0.5, _GOOD_TRIALS / found.trials))
    made: dict[str, tuple[Callable[[], BaseImportanceEvaluator], str]] = {
        "ped_anova": (
            lambda: PedAnovaImportanceEvaluator(target_quantile=good),
            f"PED-ANOVA on {_number(found)}: in what the best {good:.0%} differ from all",
        ),
        "mean_decrease_impurity": (
            lambda: MeanDecreaseImpurityImportanceEvaluator(seed=0),
            f"mean decrease in impurity of a forest on {_number(found)}",
        ),
    }
    make, method = made[found.evaluator]
    shares = get_param_importances(study, evaluator=make())
    effects = [Effect((name,), float(share)) for name, share in shares.items()]
    return replace(found, method=f"{method}; made to add up to 100 %", effects=_largest_first(effects))


def _number(found: Importances) -> str:
    if found.trials == found.completed:
        return f"{found.trials:,} trials"
    return f"{found.trials:,} of {found.completed:,} trials"


def _largest_first(effects: Sequence[Effect]) -> tuple[Effect, ...]:
    return tuple(sorted(effects, key=lambda effect: -effect.share))


def _study_of(trials: _Trials) -> optuna.Study:
    distributions = trials.space.distributions()
    study = optuna.create_study(storage=InMemoryStorage(), study_name="looked at", direction=trials.direction)
    for params, value in zip(trials.params, trials.values, strict=True):
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=float(value)))
    return study
