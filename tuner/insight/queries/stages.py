"""Stages that trials share: which, how far, what is kept of them, who stands on them, and who will."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from tuner.store import optuna_tables
from tuner.store import stages as stage_rows
from tuner.store.confirmations import slot_of_the_search
from tuner.store.optuna_tables import trial_values, trials
from tuner.store.states import OPEN_TRIAL_STATES, Origin, TrialState
from tuner.store.tables import Checkpoint, SharedStage, Slot, StageEpoch, Study


class Progress(NamedTuple):
    """How far a stage was trained, how many of its epochs were computed again, and seconds of all."""

    epochs: int
    repeated: int
    seconds: float


class Need(NamedTuple):
    """What a group of open trials needs: a stage by ``key``, one of which only the group is known, or neither."""

    key: str | None
    group: str | None
    origin: Origin
    epochs: int
    trials: int


def keys_of(study: Study) -> Select[str]:
    """Keys of the stages that trials of the study share."""
    standing = stage_rows.standing(study.id)
    return select(standing.c.key).distinct().order_by(standing.c.key)


def names(session: Session, study: Study, limit: int) -> dict[str, str]:
    """Names of the stages that trials of the study share, by key."""
    keys = session.scalars(keys_of(study).limit(limit)).all()
    found = session.execute(select(SharedStage.key, SharedStage.stage).where(SharedStage.key.in_(keys)))
    return dict(found.all())


def page(session: Session, study: Study | None, limit: int, offset: int) -> tuple[int, Sequence[Row[Any]]]:
    """(number of all, those of the page as (SharedStage, trials)); None: of the installation.

    Those of a study with the most trials first, those of the installation last used first.
    """
    standing = stage_rows.standing(None if study is None else study.id)
    counted = select(standing.c.key, func.count().label("trials")).group_by(standing.c.key).subquery()
    query = select(SharedStage, counted.c.trials).join(counted, counted.c.key == SharedStage.key, isouter=study is None)
    total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    order = (SharedStage.used_at.desc(),) if study is None else (counted.c.trials.desc(), SharedStage.created_at)
    return total, session.execute(query.order_by(*order, SharedStage.key).limit(limit).offset(offset)).all()


def in_use(session: Session, now: float) -> set[str]:
    """Keys of the stages whose files must not be deleted now."""
    return set(session.scalars(stage_rows.used(now)))


def cached(session: Session) -> tuple[int, int]:
    """(stages of which there are checkpoints, checkpoints)."""
    stages, checkpoints = session.execute(select(func.count(Checkpoint.stage_key.distinct()), func.count())).one()
    return int(stages), int(checkpoints)


def checkpoints(session: Session, keys: Collection[str]) -> Sequence[Checkpoint]:
    """The checkpoints of the stages, by epoch."""
    query = select(Checkpoint).where(Checkpoint.stage_key.in_(keys))
    return session.scalars(query.order_by(Checkpoint.epoch)).all()


def progress(session: Session, keys: Collection[str]) -> dict[str, Progress]:
    """How far those of the stages are that have begun, by key."""
    query = select(
        StageEpoch.stage_key,
        func.max(StageEpoch.epoch),
        func.sum(StageEpoch.times_run - 1),
        func.sum(StageEpoch.seconds),
    )
    found = session.execute(query.where(StageEpoch.stage_key.in_(keys)).group_by(StageEpoch.stage_key))
    return {key: Progress(furthest, int(again), float(seconds)) for key, furthest, again, seconds in found}


def standing_trials(session: Session, study: Study | None, keys: Collection[str], most: int) -> Sequence[Row[Any]]:
    """(key, epochs, name of the study, optuna_number, state, value) of trials that stand on the stages.

    Of each stage at most ``most``: running ones first, then the best; of one study, or of all.
    """
    value = trial_values.c.value
    worth = value.desc() if study is None or study.direction == "maximize" else value.asc()
    first = (Slot.state == TrialState.RUNNING).desc()
    standing = stage_rows.standing(None if study is None else study.id)
    rank = func.row_number().over(partition_by=standing.c.key, order_by=(first, worth.nulls_last(), Slot.optuna_number))
    part = (
        select(standing.c.key, standing.c.epochs, Study.name, Slot.optuna_number, Slot.state, value, rank.label("rank"))
        .join(Slot, Slot.id == standing.c.slot_id)
        .join(Study, Study.id == Slot.study_id)
        .outerjoin(trials, optuna_tables.of_slot(Study.optuna_id))
        .outerjoin(trial_values, optuna_tables.of_trial())
        .where(standing.c.key.in_(keys), Slot.optuna_number.is_not(None))
        .subquery()
    )
    return session.execute(select(part).where(part.c.rank <= most).order_by(part.c.key, part.c.rank)).all()


def needs(session: Session, study: Study) -> Sequence[Need]:
    """What the open trials of the search need of shared stages; those that agree on it count once, as the furthest."""
    query = (
        select(Slot.stage_key, Slot.group_key, Slot.origin, func.max(Slot.stage_epochs), func.count())
        .where(Slot.study_id == study.id, Slot.state.in_(OPEN_TRIAL_STATES), slot_of_the_search())
        .group_by(Slot.stage_key, Slot.group_key, Slot.origin)
    )
    return [Need(key, group, origin, epochs or 0, many) for key, group, origin, epochs, many in session.execute(query)]


def begins_from(session: Session, key: str) -> tuple[str, int] | None:
    """(key, epochs) of the stage that it starts from; None for a model's first."""
    query = select(SharedStage.before_key, SharedStage.before_epoch).where(SharedStage.key == key)
    found = session.execute(query).one_or_none()
    return None if found is None or found[0] is None else (found[0], found[1] or 0)
