"""The artifact folder as the one that all workers of a database share.

A file in the folder says which store it is, and the database says which one is its own. Two nodes whose folders are not
the same folder would each train what the other has, and miss and forget each other's files.

A folder without that file is away if it is where this machine last found it; elsewhere it is another one.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import socket
from pathlib import Path

from tuner.errors import StoreAway, WrongStore
from tuner.store import Database, facts

# In the folder's root; it moves with the folder.
FILE = "store-id"
_FACT = "artifact_store"
_TEXT = "{id}\nThe artifact folder of a Rectuner database, which knows it by this line. Move it with the folder.\n"


def join_store(database: Database, root: Path) -> None:
    """Make sure that ``root`` is the database's artifact folder. A database without one takes it.

    Raises:
        WrongStore: it is not; says what to do.
        StoreAway: it was, and is not there just now.
        OSError: the folder of a database that has none yet can't be read or written.
    """
    with database.session() as session:
        ours, place = facts.read(session, _FACT), facts.read(session, _place())
    if ours is None:
        root.mkdir(parents=True, exist_ok=True)
        found = _read(root) or _write(root, secrets.token_hex(16))
        with database.transaction() as session:
            ours = facts.settle(session, _FACT, found)
    _compare(root, ours, place)
    if place != str(root.absolute()):
        with database.transaction() as session:
            facts.write(session, _place(), str(root.absolute()))


def check_store(database: Database, root: Path) -> None:
    """Make sure that ``root`` is not another folder than the database's artifact folder, if it has one.

    Raises:
        WrongStore: it is; says what to do.
        StoreAway: it is the right place, and the folder is not there just now.
    """
    with database.session() as session:
        ours, place = facts.read(session, _FACT), facts.read(session, _place())
    if ours is not None:
        _compare(root, ours, place)


def adopt_store(database: Database, root: Path) -> None:
    """Make ``root`` the database's artifact folder, whatever it was before.

    Raises:
        OSError: the folder can't be written.
    """
    root.mkdir(parents=True, exist_ok=True)
    wanted = _read(root) or secrets.token_hex(16)
    # The database first: a worker that waits for its folder sees one that is still away, and not another one.
    _take(database, wanted)
    if (found := _read(root) or _write(root, wanted)) != wanted:  # somebody else gave it an id at the same time
        _take(database, found)


def _take(database: Database, identity: str) -> None:
    with database.transaction() as session:
        facts.write(session, _FACT, identity)


def require_store(root: Path) -> None:
    """Make sure that the folder is still there, before files are written into it or missed in it.

    Where a file system is not mounted any more, an empty folder often stands in its place.

    Raises:
        FileNotFoundError: it is not.
    """
    if not (root / FILE).is_file():
        raise FileNotFoundError(errno.ENOENT, f"The artifact folder is away (it has no {FILE})", str(root))


def _place() -> str:
    """The name of what the database knows of where this machine has the folder."""
    return f"{_FACT}@{hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16]}"


def _compare(root: Path, ours: str, place: str | None) -> None:
    lost = (
        "If its files are lost, `tuner cache adopt` makes this folder the database's, and what is missing is trained "
    )
    lost += "again."
    try:
        found = _read(root)
    except OSError as error:
        raise StoreAway(f"{root}: the artifact folder is away: {error.strerror}. Mount it. {lost}") from error
    if found == ours:
        return
    if found is None and place == str(root.absolute()):
        why = "this machine last found it here, and now there is " + (
            f"no file {FILE}" if root.is_dir() else "no folder"
        )
        raise StoreAway(f"{root}: the artifact folder is away: {why}. Mount it. {lost}")
    what = "is another database's" if found else f"is not that of this database (it has no file {FILE})"
    raise WrongStore(
        f"{root}: the artifact folder {what}. All workers of a database share one folder, on several machines by a "
        "network file system: mount it, or set TUNER_ARTIFACT_ROOT. If the folder was moved, move its file "
        f"{FILE} too. {lost} (Wanted {ours[:8]}, found {found[:8] if found else 'none'}.)"
    )


def _read(root: Path) -> str | None:
    try:
        text = (root / FILE).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    return text.partition("\n")[0].strip()


def _write(root: Path, identity: str) -> str:
    """Give the folder an id, unless somebody else does at the same time; returns the one that it has then."""
    temporary = root / f".{FILE}-{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(_TEXT.format(id=identity))
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
