"""The weights of trials: reading those that are there, and deleting those that a study does not keep.

While a trial runs, its folder holds the state that it goes on from. What it leaves is another file, written before
Optuna is told, with the best epoch's weights; the state is deleted when the trial has ended. A trial whose worker is
killed in between therefore still has its state, and ends again with the same bits.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from model.checkpoint import at_best_epoch, load_checkpoint, save_checkpoint
from model.errors import CheckpointError
from model.registry import get_model
from tuner.engine.files.artifacts import FINAL, final_checkpoint, study_folder, trial_folder
from tuner.engine.files.integrity import check_digest
from tuner.errors import TrialNotFound, WeightsNotKept
from tuner.specification import StudySpecification
from tuner.store import Database, Session, TrialState, optuna_tables
from tuner.store import events as event_rows
from tuner.store import slots as slot_rows
from tuner.store import studies as study_rows
from tuner.store import trial_files as file_rows
from tuner.store.states import VALUED_TRIAL_STATES
from tuner.store.tables import Study


@dataclass(frozen=True)
class TrialWeights:
    """A trial's checkpoint with its best epoch's weights, read and ready to be written elsewhere.

    Attributes:
        ended: whether the trial has ended; else these are the best of its epochs so far.
    """

    study: str
    number: int
    content: dict[str, Any]
    ended: bool

    @property
    def file_name(self) -> str:
        return weights_name(self.study, self.number)

    @property
    def epoch(self) -> int:
        """The epoch (from 1) that the weights are of."""
        return int(self.content["epoch"]) + 1

    def save(self, path: Path) -> None:
        """Write the file, which appears whole or not at all.

        Raises:
            OSError: it can't be written.
        """
        save_checkpoint(path, self.content)

    def write(self, file: BinaryIO) -> None:
        """Write to an open file."""
        torch.save(self.content, file)


def weights_name(study: str, number: int) -> str:
    """What a file with a trial's weights is called unless somebody wants another name."""
    return f"{study}-trial-{number}.pth"


def read_weights(database: Database, root: Path, name: str | int, number: int | None = None) -> TrialWeights:
    """The best epoch's weights of a trial, of the study's best one if no number is given.

    Raises:
        StudyNotFound, TrialNotFound: there is none such.
        WeightsNotKept: it has no weights here; says whose there are, and how to get these again.
        CheckpointError: the file can't be read.
    """
    if number is None:
        number = best_trial(database, name)
    path = trial_weights(database, root, name, number)
    with database.session() as session:
        study = study_rows.find_study(session, name)
        slot = slot_rows.find_slot(session, study.id, number)
    ended = slot is not None and slot.state.ended
    return TrialWeights(study.name, number, at_best_epoch(load_checkpoint(path)), ended)


def best_trial(database: Database, name: str | int) -> int:
    """The number of the study's best trial.

    Raises:
        WeightsNotKept: no trial has completed.
    """
    with database.session() as session:
        study = study_rows.find_study(session, name)
        number = optuna_tables.best_number(session, study)
    if number is None:
        raise WeightsNotKept(f"No trial of {study.name} has completed. Name the number of one that runs.")
    return number


def trial_weights(database: Database, root: Path, name: str | int, number: int) -> Path:
    """The file with a trial's weights: of an ended one what is kept of it, of another one the state it goes on from.

    A trial that has the result of another one has its weights as well.

    The best epoch's weights are what :func:`model.checkpoint.at_best_epoch` makes of it.

    Raises:
        StudyNotFound, TrialNotFound: there is none such.
        WeightsNotKept: the trial has no weights here; says whose there are, and how to get these again.
        CheckpointError: the file of an ended trial is not as it was written.
    """
    with database.session() as session:
        study = study_rows.find_study(session, name)
        slot = slot_rows.find_slot(session, study.id, number)
        best = optuna_tables.best_number(session, study)
        trained = optuna_tables.result_of(session, study, number)
    if slot is None:
        raise TrialNotFound(f"{study.name} has no trial {number}.")
    number = trained
    stage = get_model(study.specification["model"]).stages[-1].name
    kept = final_checkpoint(root, study.id, number)
    # Earlier versions kept the state of the best trial.
    for path in (kept, trial_folder(root, study.id, number) / f"{stage}.pth"):
        if path.is_file():
            if slot.state.ended:  # another one may be written at this moment
                _check(database, path, study, number)
            return path
    raise WeightsNotKept(_why(study, number, slot.state, root, best))


def _check(database: Database, path: Path, study: Study, number: int) -> None:
    with database.session() as session:
        slot = slot_rows.find_slot(session, study.id, number)
        digests = frozenset() if slot is None else file_rows.digests(session, slot.id, path.name)
    try:
        check_digest(path, digests)
    except CheckpointError as error:
        again = f"To get these weights again: tuner trial retrain {study.name} {number}"
        raise CheckpointError(f"{error} {again}") from error


def _why(study: Study, number: int, state: TrialState, root: Path, best: int | None) -> str:
    folder = study_folder(root, study.id) / "trials"
    there = sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal() and any(path.glob("*.pth")))
    listed = f"Trials with weights: {', '.join(map(str, there[:10]))}." if there else "No trial has weights here."
    why = f"Trial {number} of {study.name} is {state} and has no weights in {root}"
    if state not in VALUED_TRIAL_STATES:
        return f"{why}. {listed}"
    kept = "these are its best trial's" if number == best else f"the study keeps {_kept(study)}"
    return f"{why}; {kept}. {listed} To get them again: tuner trial retrain {study.name} {number}"


def _kept(study: Study) -> str:
    keep = keep_of(study)
    if keep == "best":
        return "only the best one's (keep: best)"
    return f"those of all ended trials (keep: {keep})" if keep == "all" else f"those of the {keep} best (keep: {keep})"


def keep_of(study: Study) -> str | int:
    """Whose weights the study keeps; those from before there was a choice keep the best one's."""
    keep: str | int = study.specification.get("keep", StudySpecification.model_fields["keep"].default)
    return keep


def keeps_pruned(study: Study) -> bool:
    """Whether the study keeps the weights of pruned trials, too."""
    return keep_of(study) == "all"


def remove_ended(database: Database, root: Path, bound: float) -> None:
    """Delete what trials of any study have left, see :func:`remove_finished`.

    Whoever ends a trial need not be the one who ran it, or have its files.
    """
    with database.session() as session:
        studies = study_rows.all_studies(session)
    for study in studies:
        remove_finished(database, root, study, bound)


def remove_finished(database: Database, root: Path, study: Study, bound: float) -> None:
    """Delete of the study's ended trials, however they ended, all files but the weights that it keeps.

    Args:
        bound: bytes that the study's weights may take; beyond it the worst trials' go, never the best one's.
    """
    folder = study_folder(root, study.id) / "trials"
    if not folder.is_dir():
        return
    # Of a study's many trials only these few are asked about: the others have nothing that could be deleted.
    present = {int(path.name) for path in folder.iterdir() if path.name.isdecimal()}
    with database.session() as session:
        there = set(slot_rows.ended_numbers(session, study.id, among=present))
        # A trial that took over another one's result has trained nothing, and so has no files.
        wanted = _ranked(session, study, there)[: _limit(study)]
    kept: dict[int, int] = {}
    dropped: list[int] = []
    for number in wanted:
        size = _leave_weights(folder / str(number))
        if dropped or (kept and sum(kept.values()) + size > bound):
            dropped.append(number)
        elif size:
            kept[number] = size
    for number in there - set(kept):
        shutil.rmtree(folder / str(number), ignore_errors=True)
    _note(database, study, kept, dropped, bound)


def _note(database: Database, study: Study, kept: Mapping[int, int], dropped: Sequence[int], bound: float) -> None:
    """Record what is kept where that has changed, and that weights were deleted for the bound."""
    with database.session() as session:
        wrong = slot_rows.wrong_weights(session, study.id, kept)
    if not wrong and not dropped:
        return
    with database.transaction() as session:
        slot_rows.note_weights(session, wrong)
        if dropped:
            message = f"The weights of trials {', '.join(map(str, dropped))} are deleted: those of better ones "
            message += f"take {sum(kept.values()) / 1e9:.3g} of {bound / 1e9:g} GB (TUNER_WEIGHTS_GB)."
            event_rows.add_event(session, study.id, "weights", message)


def _limit(study: Study) -> int | None:
    """Of how many trials the study keeps the weights at most."""
    keep = keep_of(study)
    return None if keep == "all" else 1 if keep == "best" else int(keep)


def _ranked(session: Session, study: Study, among: Collection[int]) -> Sequence[int]:
    """Trials ``among`` whose weights may be kept, the best first."""
    best = optuna_tables.best_numbers(session, study, among=among)
    if keep_of(study) != "all":
        return best
    # After those of the search come confirmations and pruned trials.
    others = slot_rows.ended_numbers(session, study.id, TrialState.COMPLETED, TrialState.PRUNED, among=among)
    return [*best, *sorted(set(others) - set(best))]


def _leave_weights(folder: Path) -> int:
    """Delete all but the weights; their size, 0 where there are none (any more)."""
    try:
        # A trial that was paused and then pruned, and those of earlier versions, only have the state they had.
        there = [folder / FINAL] if (folder / FINAL).is_file() else list(folder.glob("*.pth"))
        for path in folder.iterdir():
            if path not in there:
                path.unlink(missing_ok=True)
        return sum(path.stat().st_size for path in there)
    except FileNotFoundError:  # another worker has deleted the folder
        return 0
