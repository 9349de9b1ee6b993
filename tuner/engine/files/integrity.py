"""Files that are not as they were written: found, set aside, and told of."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Collection
from pathlib import Path

from model.errors import CheckpointError, CheckpointNotFound, CheckpointUnreadable

# Where damaged files are kept for whoever wants to know what happened to them, and how many of them.
FOLDER = "damaged"
KEPT = 5


def check_digest(path: Path, digests: Collection[str]) -> str:
    """Make sure that a file is one of those that were written.

    Args:
        digests: the SHA-256 that it may have; empty where none is known.

    Returns:
        The SHA-256 that it has.

    Raises:
        CheckpointNotFound: it is not there.
        CheckpointError: it is not as it was written, or the disk can't read it.
        OSError: it can't be read just now.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise CheckpointNotFound(f"{path}: is not there.") from None
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise CheckpointError(f"{path}: can't be read ({error.strerror}).") from error
    if digests and found not in digests:
        wanted = " or ".join(sorted(digest[:12] for digest in digests))
        raise CheckpointError(f"{path}: is not as it was written (SHA-256 {found[:12]}..., written {wanted}...).")
    return found


def require_damage(error: CheckpointError) -> None:
    """Raise the cause of an error that says nothing about what is in the file: it may be readable in a moment."""
    if isinstance(error, CheckpointUnreadable) and isinstance(error.__cause__, OSError):
        raise error.__cause__


def set_aside(root: Path, path: Path) -> Path | None:
    """Move a damaged file out of the way, and delete the oldest of those that were moved before.

    Returns:
        Where it is now; None when it was not there.

    Raises:
        OSError: it can't be moved.
    """
    folder = root / FOLDER
    target = folder / "-".join(path.relative_to(root).parts)
    folder.mkdir(exist_ok=True)
    try:
        path.replace(target)
        os.utime(target)
    except FileNotFoundError:
        return None
    kept = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
    for old in kept[KEPT:]:
        old.unlink(missing_ok=True)
    return target


def told(error: CheckpointError, moved: Path | None, then: str) -> str:
    """The message of the event about a damaged file."""
    kept = "" if moved is None else f" The file is now {moved}."
    return f"{error}{kept} {then}"
