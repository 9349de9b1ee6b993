"""Where files are in the artifact root."""

from __future__ import annotations

from pathlib import Path

FINAL = "best.pth"


def study_folder(root: Path, study_id: int) -> Path:
    """Everything that belongs to one study."""
    return root / "studies" / str(study_id)


def trial_folder(root: Path, study_id: int, number: int) -> Path:
    """Checkpoints of one trial's own stage."""
    return study_folder(root, study_id) / "trials" / str(number)


def retraining_folder(root: Path, study_id: int, number: int) -> Path:
    """Where the state is kept of a trial that is trained again, until its weights are written."""
    return study_folder(root, study_id) / "retraining" / str(number)


def final_checkpoint(root: Path, study_id: int, number: int) -> Path:
    """The best epoch's weights of a trial that has ended; until then its folder holds what it goes on from."""
    return trial_folder(root, study_id, number) / FINAL


def stage_folder(root: Path, key: str) -> Path:
    """Checkpoints of one shared stage."""
    return root / "stages" / key


def stage_checkpoint(root: Path, key: str, epoch: int) -> Path:
    """The shared stage after ``epoch`` epochs."""
    return stage_folder(root, key) / f"{epoch}.pth"
