"""Looking at every checkpoint that is kept: of shared stages, and in trials' folders."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from model.checkpoint import load_checkpoint
from model.errors import CheckpointError, CheckpointNotFound
from tuner.engine.files.artifacts import stage_checkpoint, trial_folder
from tuner.engine.files.integrity import check_digest, require_damage, set_aside, told
from tuner.store import Database, Session, TrialState
from tuner.store import events as event_rows
from tuner.store import slots as slot_rows
from tuner.store import stages as stage_rows
from tuner.store import trial_files as file_rows
from tuner.store.tables import Slot


@dataclass(frozen=True)
class Damaged:
    """A checkpoint that can't be used.

    Attributes:
        of: what it was a checkpoint of, for people.
        problem: what is wrong with it.
        moved: where it is now; None when it is gone, or in use and so left to whoever uses it.
    """

    of: str
    path: Path
    problem: str
    moved: Path | None


@dataclass(frozen=True)
class Verification:
    """What was looked at, and what of it is damaged. ``size`` in bytes."""

    checkpoints: int
    size: int
    damaged: tuple[Damaged, ...]


@dataclass(frozen=True)
class _Kept:
    """A checkpoint that should be there.

    Attributes:
        digests: the SHA-256 that it may have; empty where none is known.
        stage: key and epoch of a shared stage's.
        slot: of a trial's own.
    """

    of: str
    path: Path
    digests: Collection[str]
    stage: tuple[str, int] | None = None
    slot: Slot | None = None


def verify(database: Database, root: Path) -> Verification:
    """Look at every checkpoint, and set aside what is damaged and not in use; it is trained again when it is needed.

    Raises:
        OSError: a file can't be read just now.
    """
    checked, size, damaged = 0, 0, []
    for kept in [*_of_stages(database, root), *_of_trials(database, root)]:
        try:
            check_digest(kept.path, kept.digests)
            if not kept.digests:
                load_checkpoint(kept.path)
            size += kept.path.stat().st_size
        except CheckpointError as error:
            require_damage(error)
            if kept.slot is not None and isinstance(error, CheckpointNotFound):
                continue  # the trial has ended meanwhile
            damaged.append(_dealt_with(database, root, kept, error))
        checked += 1
    return Verification(checked, size, tuple(damaged))


def _of_stages(database: Database, root: Path) -> Iterator[_Kept]:
    with database.session() as session:
        found = stage_rows.all_checkpoints(session)
    for row in found:
        of = f"stage {row.stage_key[:7]}, epoch {row.epoch}"
        path = stage_checkpoint(root, row.stage_key, row.epoch)
        yield _Kept(of, path, () if row.sha256 is None else (row.sha256,), stage=(row.stage_key, row.epoch))


def _of_trials(database: Database, root: Path) -> Iterator[_Kept]:
    with database.session() as session:
        for name, slot in slot_rows.begun_of_all(session):
            for path in sorted(trial_folder(root, slot.study_id, slot.optuna_number or 0).glob("*.pth")):
                digests = file_rows.digests(session, slot.id, path.name)
                yield _Kept(f"trial {slot.optuna_number} of {name}", path, digests, slot=slot)


def _dealt_with(database: Database, root: Path, kept: _Kept, error: CheckpointError) -> Damaged:
    """Drop the row and move the file, unless somebody uses it: he finds the damage himself."""
    with database.transaction() as session:
        free = _forget(database, session, kept)
        moved = set_aside(root, kept.path) if free else None
        study, number = (None, None) if kept.slot is None else (kept.slot.study_id, kept.slot.optuna_number)
        then = "It is trained again when it is needed." if free else "It is in use; who uses it deals with it."
        event_rows.add_event(session, study, "damaged", told(error, moved, then), trial=number)
    return Damaged(kept.of, kept.path, str(error), moved)


def _forget(database: Database, session: Session, kept: _Kept) -> bool:
    if kept.stage is not None:
        return stage_rows.forget_unused(session, database.now(session), *kept.stage)
    assert kept.slot is not None
    slot = slot_rows.get_one(session, kept.slot.id, lock=True)
    if slot.state is TrialState.RUNNING:
        return False
    file_rows.forget(session, slot.id, kept.path.name)
    return True
