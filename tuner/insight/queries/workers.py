"""Workers, for the list of them; which are alive the store tells."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from tuner.store.tables import Worker


def last_started(session: Session, limit: int) -> Sequence[Worker]:
    """The workers that started last, newest first."""
    return session.scalars(select(Worker).order_by(Worker.started_at.desc()).limit(limit)).all()
