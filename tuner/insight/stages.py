"""Shared stages as people look at them: what was trained once, what is kept of it, and which trials stand on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuner.insight.queries import stages as stage_queries
from tuner.insight.summaries import CacheUse, Page, StageCheckpoint, StageSummary, StageTrial
from tuner.store import Database, Session
from tuner.store import stages as stage_rows
from tuner.store import studies as study_rows
from tuner.store.tables import SharedStage, Study

if TYPE_CHECKING:
    from sqlalchemy import Row

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
        total, found = stage_queries.page(session, study, limit, offset)
        now = database.now(session)
        return Page(tuple(_summaries(session, study, found, now)), total, limit, offset)


def cache_use(database: Database) -> CacheUse:
    """How much the cache of shared stages holds, and how much of it nobody uses now."""
    with database.session() as session:
        stages, checkpoints = stage_queries.cached(session)
        unused = stage_rows.evictable(session, database.now(session))
        size = stage_rows.total_size(session)
        return CacheUse(stages, checkpoints, size, sum(checkpoint.size for checkpoint in unused))


def _summaries(session: Session, study: Study | None, found: Sequence[Row[Any]], now: float) -> list[StageSummary]:
    keys = [row.SharedStage.key for row in found]
    checkpoints = _checkpoints(session, keys)
    progress = stage_queries.progress(session, keys)
    trials = _trials(session, study, keys)
    used = stage_queries.in_use(session, now)
    summaries = []
    for row in found:
        stage: SharedStage = row.SharedStage
        furthest, repeated, seconds = progress.get(stage.key, (0, 0, 0.0))
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
    found: dict[str, list[StageCheckpoint]] = {}
    for row in stage_queries.checkpoints(session, keys):
        found.setdefault(row.stage_key, []).append(StageCheckpoint(row.epoch, row.size, row.kept, row.used_at))
    return found


def _trials(session: Session, study: Study | None, keys: Sequence[str]) -> Mapping[str, list[StageTrial]]:
    found: dict[str, list[StageTrial]] = {}
    for row in stage_queries.standing_trials(session, study, keys, MOST_TRIALS):
        trial = StageTrial(row.name, row.optuna_number, str(row.state), row.epochs or 0, row.value)
        found.setdefault(row.key, []).append(trial)
    return found
