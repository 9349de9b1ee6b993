"""Running the best parameters again with other training seeds, because one seed's best is often luck.

Confirmations are trials of the same study, begun when the search has ended by itself. The sampler, the endings, the
importances and the best value do not see them. The seeds are the same for all parameter sets, so that sets can be
compared seed by seed.
"""

from __future__ import annotations

import json
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from model.registry import parameters_of
from tuner.engine.plan import Plan
from tuner.engine.search.trials import of_the_search
from tuner.errors import SpecificationError
from tuner.specification import StudySpecification
from tuner.store import Database, Session
from tuner.store import events as event_rows
from tuner.store import slots as slot_rows
from tuner.store.states import Origin
from tuner.store.tables import Study
from tuner.store.trial_outcome import SAME_AS

_SEEDS = 2**32


def check(plan: Plan) -> None:
    """Refuse a confirmation of a study that searches the seed.

    Raises:
        SpecificationError: with the fix.
    """
    searched = [parameter.name for parameter in plan.space.parameters if parameter.key == "seed"]
    if plan.specification.confirm is not None and searched:
        raise SpecificationError(
            f"confirm runs the best parameters with other seeds, and {searched[0]} is searched. "
            f"Remove {searched[0]} from the search space, or remove confirm."
        )


def add_missing(database: Database, session: Session, study: Study) -> bool:
    """Add the confirmations that the study still lacks; whether there were any."""
    specification = StudySpecification.model_validate(study.specification)
    wish = specification.confirm
    if wish is None:
        return False
    there = slot_rows.confirmed(session, study.id)
    best = _best(database, study, wish.top)
    # Seed by seed, so that a confirmation that is cut short has compared all with as many seeds.
    wanted = [(trial, seed) for seed in _seeds(specification, wish.seeds) for trial in best]
    missing = [(trial, seed) for trial, seed in wanted if (trial.number, seed) not in there]
    if not missing:
        return False
    first = slot_rows.next_ordinal(session, study.id)
    slots = [_slot(trial, seed, first + place) for place, (trial, seed) in enumerate(missing)]
    slot_rows.add_slots(session, study.id, slots)
    message = f"The best {len(best)} parameter sets are run again with {wish.seeds} other seeds."
    event_rows.add_event(session, study.id, "confirm", message)
    return True


def _best(database: Database, study: Study, top: int) -> list[FrozenTrial]:
    """The best trials with different parameters, the earliest of equal ones."""
    found = optuna.load_study(study_name=study.optuna_name, storage=database.storage).get_trials(
        deepcopy=False, states=(OptunaState.COMPLETE,)
    )
    sign = -1 if study.direction == "maximize" else 1
    ranked = sorted(of_the_search(found), key=lambda trial: (sign * (trial.value or 0.0), trial.number))
    different: dict[str, FrozenTrial] = {}
    for trial in (trial for trial in ranked if SAME_AS not in trial.user_attrs):
        different.setdefault(json.dumps(trial.params, sort_keys=True), trial)
    return list(different.values())[:top]


def _seeds(specification: StudySpecification, number: int) -> list[int]:
    used = specification.config.get("seed", parameters_of(specification.model)["seed"].default)
    return [(int(used) + step) % _SEEDS for step in range(1, number + 1)]


def _slot(trial: FrozenTrial, seed: int, ordinal: int) -> dict[str, Any]:
    return {
        "ordinal": ordinal,
        "origin": Origin.CONFIRM,
        "parameters": dict(trial.params),
        "confirms": trial.number,
        "seed": seed,
    }
