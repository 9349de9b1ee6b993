"""Shared stages as people look at them: what was trained once, what is kept of it, and which trials stand on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from tuner.insight.summaries import CacheUse, Page, StageCheckpoint, StageSummary, StageTrial
from tuner.store import Database, TrialState, optuna_tables
from tuner.store import stages as stage_rows
from tuner.store import studies as study_rows
from tuner.store.tables import Checkpoint, SharedStage, Slot, StageEpoch, Study

# Of one stage; the rest is counted.
MOST_TRIALS = 100


def list_stages(
    database: Database, name: str | int | None = None, *, limit: int = 50, offset: int = 0
) -> Page[StageSummary]:
    """The shared stages of a study, those with the most trials first; or of the installation, last used first.

    Raises:
        StudyNotFound: there is no such study.
    """
    with database.session() as session:
        study = None if name is None else study_rows.find_study(session, name)
        standing = stage_rows.standing(None if study is None else study.id)
        counted = select(standing.c.key, func.count().label("trials")).group_by(standing.c.key).subquery()
        query = select(SharedStage, counted.c.trials).join(
            counted, counted.c.key == SharedStage.key, isouter=study is None
        )
        total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
        order = (SharedStage.used_at.desc(),) if study is None else (counted.c.trials.desc(), SharedStage.created_at)
        found = session.execute(query.order_by(*order, SharedStage.key).limit(limit).offset(offset)).all()
        now = database.now(session)
        return Page(tuple(_summaries(session, study, found, now)), total, limit, offset)


def cache_use(database: Database) -> CacheUse:
    """How much the cache of shared stages holds, and how much of it nobody uses now."""
    with database.session() as session:
        stages = session.scalar(select(func.count(Checkpoint.stage_key.distinct()))) or 0
        checkpoints = session.scalar(select(func.count()).select_from(Checkpoint)) or 0
        unused = stage_rows.evictable(session, database.now(session))
        size = stage_rows.total_size(session)
        return CacheUse(stages, checkpoints, size, sum(checkpoint.size for checkpoint in unused))


def _summaries(session: Session, study: Study | None, found: Sequence[Row[Any]], now: float) -> list[StageSummary]:
    keys = [row.SharedStage.key for row in found]
    checkpoints = _checkpoints(session, keys)
    epochs = _epochs(session, keys)
    trials = _trials(session, study, keys)
    used = set(session.scalars(stage_rows.used(now)))
    summaries = []
    for row in found:
        stage: SharedStage = row.SharedStage
        furthest, repeated, seconds = epochs.get(stage.key, (0, 0, 0.0))
        held = stage.lease_expires is not None and stage.lease_expires > now
        mine, files = trials.get(stage.key, []), checkpoints.get(stage.key, [])
        summaries.append(
            StageSummary(
                key=stage.key,
                model=stage.model,
                stage=stage.stage,
                dataset=stage.dataset,
                before=stage.before_key,
                before_epoch=stage.before_epoch,
                epochs=furthest,
                repeated=repeated,
                seconds=seconds,
                target=stage.target_epoch if held else None,
                in_use=stage.key in used,
                size=sum(file.size for file in files),
                checkpoints=tuple(files),
                trials=tuple(mine),
                trials_total=row.trials or 0,
                created_at=stage.created_at,
                used_at=stage.used_at,
            )
        )
    return summaries


def _checkpoints(session: Session, keys: Sequence[str]) -> Mapping[str, list[StageCheckpoint]]:
    query = select(Checkpoint).where(Checkpoint.stage_key.in_(keys)).order_by(Checkpoint.epoch)
    found: dict[str, list[StageCheckpoint]] = {}
    for row in session.scalars(query):
        found.setdefault(row.stage_key, []).append(StageCheckpoint(row.epoch, row.size, row.kept, row.used_at))
    return found


def _epochs(session: Session, keys: Sequence[str]) -> Mapping[str, tuple[int, int, float]]:
    """(furthest epoch, epochs computed again, seconds) by stage."""
    query = (
        select(
            StageEpoch.stage_key,
            func.max(StageEpoch.epoch),
            func.sum(StageEpoch.times_run - 1),
            func.sum(StageEpoch.seconds),
        )
        .where(StageEpoch.stage_key.in_(keys))
        .group_by(StageEpoch.stage_key)
    )
    return {key: (furthest, int(again), float(seconds)) for key, furthest, again, seconds in session.execute(query)}


def _trials(session: Session, study: Study | None, keys: Sequence[str]) -> Mapping[str, list[StageTrial]]:
    value = optuna_tables.trial_values.c.value
    worth = value.desc() if study is None or study.direction == "maximize" else value.asc()
    running = (Slot.state == TrialState.RUNNING).desc()
    standing = stage_rows.standing(None if study is None else study.id)
    rank = func.row_number().over(
        partition_by=standing.c.key, order_by=(running, worth.nulls_last(), Slot.optuna_number)
    )
    part = (
        select(standing.c.key, standing.c.epochs, Study.name, Slot.optuna_number, Slot.state, value, rank.label("rank"))
        .join(Slot, Slot.id == standing.c.slot_id)
        .join(Study, Study.id == Slot.study_id)
        .outerjoin(optuna_tables.trials, optuna_tables.of_slot(Study.optuna_id))
        .outerjoin(optuna_tables.trial_values, optuna_tables.of_trial())
        .where(standing.c.key.in_(keys), Slot.optuna_number.is_not(None))
        .subquery()
    )
    found: dict[str, list[StageTrial]] = {}
    for row in session.execute(select(part).where(part.c.rank <= MOST_TRIALS).order_by(part.c.key, part.c.rank)):
        trial = StageTrial(row.name, row.optuna_number, str(row.state), row.epochs or 0, row.value)
        found.setdefault(row.key, []).append(trial)
    return found
