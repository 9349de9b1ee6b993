"""How much each parameter matters for the objective, by Optuna's evaluators."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import optuna
from optuna.importance import (
    BaseImportanceEvaluator,
    FanovaImportanceEvaluator,
    MeanDecreaseImpurityImportanceEvaluator,
    PedAnovaImportanceEvaluator,
    get_param_importances,
)
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from tuner.store import Database
from tuner.store import repository as rows
from tuner.store.trial_outcome import CONFIRMS

# With fewer finished trials every ranking is noise.
MINIMUM_TRIALS = 4

# PED-ANOVA compares the best share of the trials with the rest. Optuna's default, a tenth, is a single trial of a
# small study, and one trial says the same of every parameter; so the share holds at least this many.
GOOD_TRIALS = 5


def _ped_anova(trials: int) -> BaseImportanceEvaluator:
    return PedAnovaImportanceEvaluator(target_quantile=max(0.1, min(0.5, GOOD_TRIALS / trials)))


# By name, given the number of finished trials. All but the first need scikit-learn, which is not a dependency.
EVALUATORS: dict[str, Callable[[int], BaseImportanceEvaluator]] = {
    "ped_anova": _ped_anova,
    "fanova": lambda _: FanovaImportanceEvaluator(seed=0),
    "mean_decrease_impurity": lambda _: MeanDecreaseImpurityImportanceEvaluator(seed=0),
}


@dataclass(frozen=True)
class Importances:
    """Parameters with their share of the influence, largest first, or the reason why there are none.

    Attributes:
        evaluator: name of the evaluator.
        trials: number of finished trials that were looked at.
        values: (parameter, share), the shares adding up to 1; empty when ``reason`` is given.
    """

    evaluator: str
    trials: int
    values: tuple[tuple[str, float], ...]
    reason: str | None = None


def importances(database: Database, name: str | int, evaluator: str = "ped_anova") -> Importances:
    """The importance of a study's parameters.

    Raises:
        StudyNotFound: there is no such study.
        ValueError: there is no such evaluator.
    """
    if evaluator not in EVALUATORS:
        raise ValueError(f"There is no evaluator {evaluator!r}. Evaluators: {', '.join(EVALUATORS)}.")
    with database.session() as session:
        study = rows.find_study(session, name)
    loaded = optuna.load_study(
        study_name=database.storage.get_study_name_from_id(study.optuna_id), storage=database.storage
    )
    completed = loaded.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    finished = [trial for trial in completed if CONFIRMS not in trial.user_attrs]
    if reason := _too_little(finished):
        return Importances(evaluator, len(finished), (), reason)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            looked_at = loaded if len(finished) == len(completed) else _study_of(finished, loaded)
            shares = get_param_importances(looked_at, evaluator=EVALUATORS[evaluator](len(finished)))
    except ImportError:
        return Importances(evaluator, len(finished), (), f"{evaluator} needs the package scikit-learn")
    return Importances(evaluator, len(finished), tuple(shares.items()))


def _study_of(trials: list[optuna.trial.FrozenTrial], like: optuna.Study) -> optuna.Study:
    study = optuna.create_study(storage=InMemoryStorage(), study_name=like.study_name, direction=like.direction)
    study.add_trials(trials)
    return study


def _too_little(finished: list[optuna.trial.FrozenTrial]) -> str | None:
    if len(finished) < MINIMUM_TRIALS:
        return f"{len(finished)} of at least {MINIMUM_TRIALS} finished trials"
    if len({trial.value for trial in finished}) == 1:
        return "all finished trials have the same value"
    if len(finished[0].params) == 1:
        return "only one parameter is searched"
    return None
