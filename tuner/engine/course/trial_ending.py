"""The one way in which a trial ends in Optuna, whoever ends it: its outcome first, then its state and value."""

from __future__ import annotations

import contextlib

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState as OptunaState

from tuner.store import Database
from tuner.store.trial_outcome import TrialOutcome


def end_trial(
    database: Database,
    optuna_name: str,
    number: int,
    state: OptunaState,
    outcome: TrialOutcome,
    value: float | None = None,
) -> None:
    """End a trial. One that has ended already stays as it is, so a repeated end changes nothing.

    Args:
        optuna_name: of the study in Optuna.
        value: the best validation score; a pruned trial keeps its one too, which ``Study.tell`` does not allow.

    Raises:
        ValueError: a completed trial needs a value.
    """
    if state is OptunaState.COMPLETE and value is None:
        raise ValueError(f"Trial {number} was never validated, so it has no value: check eval_step and the split.")
    storage = database.storage
    trial_id = storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name(optuna_name), number)
    with contextlib.suppress(UpdateFinishedTrialError):
        for name, attribute in outcome.attributes.items():
            storage.set_trial_user_attr(trial_id, name, attribute)
        storage.set_trial_state_values(trial_id, state, None if value is None else [value])
