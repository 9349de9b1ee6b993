"""The artifact folder as the one that all workers of a database share.

A file in the folder says which store it is, and the database says which one is its own. Two nodes whose folders are not
the same folder would each train what the other has, and miss and forget each other's files.
"""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from tuner.errors import WrongStore
from tuner.store import Database, facts

# In the folder's root; it moves with the folder.
FILE = "store-id"
_FACT = "artifact_store"
_TEXT = "{id}\nThe artifact folder of a Rectuner database, which knows it by this line. Move it with the folder.\n"


def join_store(database: Database, root: Path) -> None:
    """Make sure that ``root`` is the database's artifact folder. A database without one takes it.

    Raises:
        WrongStore: it is not; says what to do.
        OSError: the folder can't be read or written.
    """
    with database.session() as session:
        ours = facts.read(session, _FACT)
    if ours is None:
        root.mkdir(parents=True, exist_ok=True)
        found = _read(root) or _write(root)
        with database.transaction() as session:
            ours = facts.settle(session, _FACT, found)
    _compare(root, ours)


def check_store(database: Database, root: Path) -> None:
    """Make sure that ``root`` is not another folder than the database's artifact folder, if it has one.

    Raises:
        WrongStore: it is; says what to do.
        OSError: the folder can't be read.
    """
    with database.session() as session:
        ours = facts.read(session, _FACT)
    if ours is not None:
        _compare(root, ours)


def adopt_store(database: Database, root: Path) -> None:
    """Make ``root`` the database's artifact folder, whatever it was before.

    Raises:
        OSError: the folder can't be written.
    """
    root.mkdir(parents=True, exist_ok=True)
    found = _read(root) or _write(root)
    with database.transaction() as session:
        facts.write(session, _FACT, found)


def require_store(root: Path) -> None:
    """Make sure that the folder is still there, before files are written into it or missed in it.

    Where a file system is not mounted any more, an empty folder often stands in its place.

    Raises:
        FileNotFoundError: it is not.
    """
    if not (root / FILE).is_file():
        raise FileNotFoundError(errno.ENOENT, f"The artifact folder is away (it has no {FILE})", str(root))


def _compare(root: Path, ours: str) -> None:
    found = _read(root)
    if found == ours:
        return
    what = "is another database's" if found else f"is not that of this database (it has no file {FILE})"
    raise WrongStore(
        f"{root}: the artifact folder {what}. All workers of a database share one folder, on several machines by a "
        "network file system: mount it, or set TUNER_ARTIFACT_ROOT. If the folder was moved, move its file "
        f"{FILE} too. If its files are lost, `tuner cache adopt` makes this folder the database's, and what is missing "
        f"is trained again. (Wanted {ours[:8]}, found {found[:8] if found else 'none'}.)"
    )


def _read(root: Path) -> str | None:
    try:
        text = (root / FILE).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    return text.partition("\n")[0].strip()


def _write(root: Path) -> str:
    """Give the folder an id, unless somebody else does at the same time; returns the one that it has then."""
    temporary = root / f".{FILE}-{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(_TEXT.format(id=secrets.token_hex(16)))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, root / FILE)  # unlike a rename, never over another one
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            if not (root / FILE).exists():
                temporary.replace(root / FILE)
    finally:
        temporary.unlink(missing_ok=True)
    found = _read(root)
    if not found:
        raise FileNotFoundError(errno.ENOENT, "could not be written", str(root / FILE))
    return found
