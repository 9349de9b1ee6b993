"""Statements that all tables need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import CursorResult
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from tuner.store.tables import Base


def upsert(session: Session, table: type[Base], values: Mapping[str, Any], key: tuple[str, ...]) -> None:
    """Insert the row, or overwrite the one with the same ``key``."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(table).values(**values)
    others = {name: statement.excluded[name] for name in values if name not in key}
    if others:
        session.execute(statement.on_conflict_do_update(index_elements=key, set_=others))
    else:
        session.execute(statement.on_conflict_do_nothing(index_elements=key))


def changed_rows(session: Session, statement: Any) -> int:
    """Execute an UPDATE or DELETE and say how many rows it met."""
    return cast("CursorResult[Any]", session.execute(statement)).rowcount
