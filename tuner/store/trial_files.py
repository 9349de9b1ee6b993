"""What the files in trials' folders should hold.

The row changes before the file does, and keeps the digest of the file before: after a crash in between, the old file is
as good as the new one.
"""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from tuner.store.tables import TrialFile


def announce(session: Session, slot_id: int, name: str, sha256: str) -> None:
    """Record that a file with this content is about to replace the one of that name; twice is as good as once."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(TrialFile).values(slot_id=slot_id, name=name, sha256=sha256)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=("slot_id", "name"),
            set_={"previous": TrialFile.sha256, "sha256": statement.excluded.sha256},
            where=TrialFile.sha256 != statement.excluded.sha256,
        )
    )


def digests(session: Session, slot_id: int, name: str) -> frozenset[str]:
    """The SHA-256 that the file may have; empty where none is known (of files before version 0009)."""
    file = session.get(TrialFile, (slot_id, name))
    return frozenset() if file is None else frozenset(filter(None, (file.sha256, file.previous)))


def forget(session: Session, slot_id: int, name: str) -> None:
    """Drop the row of a file that is not there any more."""
    session.execute(delete(TrialFile).where(TrialFile.slot_id == slot_id, TrialFile.name == name))
