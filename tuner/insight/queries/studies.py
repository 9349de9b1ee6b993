"""Studies, for lists of them and their totals."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tuner.store.states import StudyState
from tuner.store.tables import Slot, Study


def page(session: Session, state: StudyState | None, limit: int, offset: int) -> tuple[int, Sequence[Study]]:
    """(number of all, those of the page), newest first; ``state`` keeps those in one state."""
    query = select(Study)
    if state is not None:
        query = query.where(Study.state == state)
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    return total, session.scalars(query.order_by(Study.id.desc()).limit(limit).offset(offset)).all()


def shared_epochs(session: Session, study: Study) -> tuple[int, int, int]:
    """Epochs of shared stages that the study's trials (asked for, had computed, found there)."""
    sums = [func.coalesce(func.sum(epochs), 0) for epochs in (Slot.epochs_asked, Slot.epochs_run, Slot.epochs_reused)]
    asked, run, reused = map(int, session.execute(select(*sums).where(Slot.study_id == study.id)).one())
    return asked, run, reused
