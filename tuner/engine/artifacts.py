"""Where files are in the artifact root, and which are kept."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import select

from model.registry import get_model
from tuner.errors import WeightsNotKept
from tuner.store import Database
from tuner.store import repository as rows
from tuner.store.optuna_tables import best_number
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


def trial_weights(database: Database, root: Path, name: str | int, number: int) -> Path:
    """The checkpoint with a trial's weights: a trial that runs has one, and the study's best one.

    Raises:
        StudyNotFound: there is no such study.
        WeightsNotKept: the trial has no weights here, or none any more; says whose there are.
    """
    with database.session() as session:
        study = rows.find_study(session, name)
    stage = get_model(study.specification["model"]).stages[-1].name
    path = trial_folder(root, study.id, number) / f"{stage}.pth"
    if path.is_file():
        return path
    kept = sorted(
        int(file.parent.name)
        for file in (study_folder(root, study.id) / "trials").glob(f"*/{stage}.pth")
        if file.parent.name.isdecimal()
    )
    there = f"Trials with weights: {', '.join(map(str, kept[:10]))}." if kept else "No trial has weights here."
    why = f"Trial {number} of {study.name} has no weights in {root}: of finished trials only the best one's are kept."
    raise WeightsNotKept(f"{why} {there}")


def remove_ended(database: Database, root: Path) -> None:
    """Delete what trials of any study have left, see :func:`remove_finished`.

    Whoever ends a trial need not be the one who ran it, or have its files.
    """
    with database.session() as session:
        studies = session.scalars(select(Study)).all()
    for study in studies:
        remove_finished(database, root, study)


def remove_finished(database: Database, root: Path, study: Study) -> None:
    """Delete the checkpoints of the study's trials that have ended, whichever way, except the best one's."""
    folder = study_folder(root, study.id) / "trials"
    if not folder.is_dir():
        return
    with database.session() as session:
        ended = set(rows.ended_numbers(session, study.id))
        best = best_number(session, study)
    for trial in folder.iterdir():
        number = int(trial.name) if trial.name.isdecimal() else None
        if number in ended and number != best:
            shutil.rmtree(trial, ignore_errors=True)
        elif number in ended:
            for left in trial.glob(".*.tmp"):  # of a worker that was killed while it wrote
                left.unlink(missing_ok=True)
