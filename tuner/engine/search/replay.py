"""Making a study's asks again, to see that they give the parameters that were tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import optuna

from tuner.engine.plan import make_plan
from tuner.engine.search.asks import Sight
from tuner.engine.search.trials import asker
from tuner.specification import StudySpecification
from tuner.store import Database
from tuner.store import studies as study_rows


@dataclass(frozen=True)
class Difference:
    """A trial whose parameters (in Optuna's representation) another ask would not choose again."""

    trial: int
    tried: dict[str, Any]
    asked_again: dict[str, Any]


@dataclass(frozen=True)
class Replay:
    """How a study's asks turned out the second time; trials of a grid and those by hand were not asked for."""

    study: str
    asks: int
    differences: tuple[Difference, ...]


def replay(database: Database, name_or_id: str | int) -> Replay:
    """Make every ask of a study again, each with the trials that the first one was shown. Nothing is written.

    Parameters can differ when the library that chooses is another version, or was run on another machine.

    Raises:
        StudyNotFound: there is no such study.
    """
    with database.session() as session:
        study = study_rows.find_study(session, name_or_id)
    plan = make_plan(StudySpecification.model_validate(study.specification))
    trials = optuna.load_study(study_name=study.optuna_name, storage=database.storage).get_trials(deepcopy=False)
    asks = asker(study, plan)
    names = set(plan.space.names)
    differences, count = [], 0
    for trial in trials:
        sight = Sight.recorded(trial)
        if sight is None or not trial.params.keys() >= names:
            continue
        count += 1
        again = asks.ask(trial.number, sight, trials).params
        if again != trial.params:
            differences.append(Difference(trial.number, dict(trial.params), again))
    return Replay(study.name, count, tuple(differences))
