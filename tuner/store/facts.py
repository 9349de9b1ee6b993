"""What the database knows of the installation: a few texts by name."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from tuner.store.statements import upsert
from tuner.store.tables import Fact


def read(session: Session, name: str) -> str | None:
    """The fact's value, None where it is not known."""
    fact = session.get(Fact, name)
    return None if fact is None else fact.value


def write(session: Session, name: str, value: str) -> None:
    """Set the fact, whatever it was."""
    upsert(session, Fact, {"name": name, "value": value}, ("name",))


def settle(session: Session, name: str, value: str) -> str:
    """The fact's value, which is ``value`` if nobody has said another before."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    session.execute(insert(Fact).values(name=name, value=value).on_conflict_do_nothing(index_elements=("name",)))
    return session.scalars(select(Fact.value).where(Fact.name == name)).one()
