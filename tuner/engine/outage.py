"""Storage that is full or away for a while: told from what a trial did wrong, and looked for until it is back.

An outage costs a trial nothing but time: it is given back, its study pauses and says why, and goes on by itself as soon
as a worker finds that it can read and write again what it could not.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.data.catalog import locate
from model.errors import DatasetNotFound
from tuner.engine.files.artifact_store import require_store
from tuner.engine.patience import FULL, sqlite_error

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# What only a disk or a file server says, of whatever file.
_BROKEN = frozenset({errno.EIO, errno.ESTALE, errno.EROFS, errno.ENODEV, errno.ENXIO})
# What these say when they are away, and what programs are told that name a wrong file: where it is decides.
_AWAY = _BROKEN | {
    *(errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EBUSY, errno.ENOTCONN, errno.ETIMEDOUT),
    *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ECONNREFUSED, errno.ECONNRESET),
}
# A probe writes so much, because a full disk has room for a few bytes time and again.
_PROBE_BYTES = 1 << 20

ARTIFACTS, DATA, DATABASE = "artifact folder", "data", "database"


@dataclass(frozen=True)
class Outage:
    """What is away, or full: ``store`` is one of the three, ``error`` what was said about it."""

    store: str
    error: str
    full: bool

    @property
    def reason(self) -> str:
        """For people: what, why, and what to do."""
        if self.store == DATA:
            remedy = "Put the data back"
        else:
            remedy = "Make room" if self.full else "Mount it, or give the right to write to it"
        return (
            f"the {self.store} is {'full' if self.full else 'away'}: {self.error} {remedy}; the study then goes on by "
            "itself."
        )


@dataclass(frozen=True)
class Places:
    """Where a study's files are.

    Attributes:
        artifacts: the artifact folder.
        data: folders of data sets, the first that has the data set counts.
    """

    artifacts: Path
    dataset: str
    data: Sequence[Path]

    def outage(self, error: BaseException) -> Outage | None:
        """The outage that an error is, None when it is something else."""
        for cause in _chain(error):
            if isinstance(cause, DatasetNotFound):  # it was there when the study was created
                return Outage(DATA, str(cause), full=False)
            if isinstance(cause, OSError) and (store := self._store(cause)) is not None:
                return Outage(store, _sentence(cause), cause.errno in _FULL)
            if (name := sqlite_error(cause)) in FULL:
                return Outage(DATABASE, f"SQLite says {name}.", name == "SQLITE_FULL")
        return None

    def probe(self) -> Outage | None:
        """Try what trials do: write into the artifact folder, read the data set. What is away now, or None."""
        try:
            require_store(self.artifacts)
            require_store(self.artifacts)
            _write(self.artifacts)
            folder = locate(self.dataset, self.data[0])
            with next(folder.glob("*.inter")).open("rb") as file:
                file.read(1)
        except Exception as error:
            if (outage := self.outage(error)) is not None:
                return outage
            raise
        return None

    def _store(self, error: OSError) -> str | None:
        named = _path(error)
        if named is not None and error.errno in _FULL | _AWAY:
            if _within(named, self.artifacts):
                return ARTIFACTS
            if any(_within(named, folder) for folder in self.data):
                return DATA
        # Writing to an open file names none, and trials write checkpoints.
        return ARTIFACTS if named is None and error.errno in _FULL | _BROKEN else None


def is_of_storage(error: BaseException) -> bool:
    """Whether the error may be an outage, wherever files are."""
    return any(
        isinstance(cause, DatasetNotFound) or (isinstance(cause, OSError) and cause.errno in _FULL | _AWAY)
        for cause in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _path(error: OSError) -> Path | None:
    name = error.filename
    return Path(os.fsdecode(name)) if isinstance(name, str | bytes | os.PathLike) else None


def _within(path: Path, folder: Path) -> bool:
    # Not resolved: what is away can't be followed.
    return path.absolute().is_relative_to(folder.absolute())


def _sentence(error: OSError) -> str:
    named = _path(error)
    return f"{error.strerror or error}{'' if named is None else f' ({named})'}."


def _write(folder: Path) -> None:
    probe = folder / f".probe-{secrets.token_hex(8)}.tmp"
    try:
        with probe.open("xb") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
