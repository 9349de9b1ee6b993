"""Where files are in the artifact root, and which are kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import optuna
from optuna.trial import TrialState as OptunaState

from tuner.engine.optuna_trials import of_the_search
from tuner.store import Database
from tuner.store import repository as rows
from tuner.store.tables import Study


def study_folder(root: Path, study_id: int) -> Path:
    """Everything that belongs to one study."""
    return root / "studies" / str(study_id)


def trial_folder(root: Path, study_id: int, number: int) -> Path:
    """Checkpoints of one trial's own stage."""
    return study_folder(root, study_id) / "trials" / str(number)


def stage_folder(root: Path, key: str) -> Path:
    """Checkpoints of one shared stage."""
    return root / "stages" / key


def stage_checkpoint(root: Path, key: str, epoch: int) -> Path:
    """The shared stage after ``epoch`` epochs."""
    return stage_folder(root, key) / f"{epoch}.pth"


def remove_finished(database: Database, root: Path, study: Study) -> None:
    """Delete the checkpoints of trials that have ended, except the best one's and pruned ones."""
    folder = study_folder(root, study.id) / "trials"
    if not folder.is_dir():
        return
    with database.session() as session:
        ended = set(rows.ended_numbers(session, study.id))
    best = _best_number(database, study)
    for trial in folder.iterdir():
        number = int(trial.name) if trial.name.isdecimal() else None
        if number in ended and number != best:
            shutil.rmtree(trial, ignore_errors=True)
        elif number in ended:
            for left in trial.glob(".*.tmp"):  # of a worker that was killed while it wrote
                left.unlink(missing_ok=True)


def _best_number(database: Database, study: Study) -> int | None:
    found = optuna.load_study(study_name=study.optuna_name, storage=database.storage).get_trials(
        deepcopy=False, states=(OptunaState.COMPLETE,)
    )
    best = max if study.direction == "maximize" else min
    # The first of equal ones: max and min return it.
    chosen = best(of_the_search(found), key=lambda trial: trial.value or 0.0, default=None)
    return None if chosen is None else chosen.number
