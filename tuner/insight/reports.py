"""Studies and trials as people look at them: paged, bounded, one consistent snapshot each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from model.protocol import given_protocol
from model.registry import get_model, model_names, parameters_of
from tuner.errors import SpaceError, TrialNotFound
from tuner.insight.confirmation import confirmation
from tuner.insight.summaries import (
    Confirmation,
    EpochCounts,
    Page,
    Progress,
    StudySummary,
    TrialDetail,
    TrialError,
    TrialSummary,
    Weights,
)
from tuner.insight.time_left import eta_seconds
from tuner.space import SearchSpace
from tuner.specification import GIVEN
from tuner.store import Database, StudyState, TrialState, optuna_tables, tables, trial_record
from tuner.store import slots as slot_rows
from tuner.store import studies as study_rows
from tuner.store.tables import Slot, Study, Worker, utc_now
from tuner.store.trial_outcome import OUTCOME, TrialOutcome

# Trials that are read at once where all of them are wanted.
_AT_A_TIME = 500
TRIAL_ORDERS = ("number", "value", "started_at", "ended_at", "state")


def list_studies(
    database: Database, *, state: str | None = None, limit: int = 50, offset: int = 0
) -> Page[StudySummary]:
    """Studies, newest first; ``state`` keeps those in one state."""
    query = select(Study)
    if state is not None:
        query = query.where(Study.state == StudyState(state))
    with database.session() as session:
        total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
        found = session.scalars(query.order_by(Study.id.desc()).limit(limit).offset(offset)).all()
        items = tuple(_study(database, session, study) for study in found)
    return Page(items, total, limit, offset)


def get_study(database: Database, name: str | int) -> StudySummary:
    """One study by name or id.

    Raises:
        StudyNotFound: there is none.
    """
    with database.session() as session:
        return _study(database, session, study_rows.find_study(session, name))


def list_trials(
    database: Database,
    name: str | int,
    *,
    state: str | None = None,
    order: str = "number",
    limit: int = 100,
    offset: int = 0,
) -> Page[TrialSummary]:
    """Trials of a study.

    Args:
        state: keep those in one state.
        order: one of ``TRIAL_ORDERS``, with ``-`` in front for descending. Trials that lack it come last;
            those that have not started have no number.

    Raises:
        StudyNotFound: there is no such study.
        ValueError: no such order or state.
    """
    with database.session() as session:
        study = study_rows.find_study(session, name)
        query = _trials(study)
        if state is not None:
            query = query.where(Slot.state == TrialState(state))
        total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
        found = session.execute(_ordered(query, order).limit(limit).offset(offset)).all()
        return Page(tuple(_summaries(session, study, found)), total, limit, offset)


def each_trial(database: Database, name: str | int, *, state: str | None = None) -> Iterator[TrialSummary]:
    """All trials of a study in the order in which they were planned, however many; a few are held at a time.

    Raises:
        StudyNotFound: there is no such study.
        ValueError: no such state.
    """
    wanted = None if state is None else TrialState(state)
    with database.session() as session:
        study = study_rows.find_study(session, name)
    last = -1
    while True:
        with database.session() as session:
            query = _trials(study).where(Slot.ordinal > last)
            if wanted is not None:
                query = query.where(Slot.state == wanted)
            found = session.execute(query.order_by(Slot.ordinal).limit(_AT_A_TIME)).all()
            summaries = _summaries(session, study, found)
        if not found:
            return
        last = found[-1].Slot.ordinal
        yield from summaries


def get_trial(database: Database, name: str | int, number: int) -> TrialDetail:
    """One trial with its curves; where it has the result of another, these are that one's.

    Raises:
        StudyNotFound: there is no such study.
        TrialNotFound: the study has no trial of that number.
    """
    with database.session() as session:
        study = study_rows.find_study(session, name)
        found = session.execute(_trials(study).where(Slot.optuna_number == number)).all()
        if not found:
            raise TrialNotFound(f"{study.name} has no trial {number}.")
        (summary,) = _summaries(session, study, found)
        slot: Slot = found[0].Slot
        known = {field.name: getattr(summary, field.name) for field in fields(summary)}
        epochs = EpochCounts(slot.epochs_asked, slot.epochs_run, slot.epochs_reused)
        trained = slot if summary.same_as is None else slot_rows.find_slot(session, study.id, summary.same_as)
        curves = trial_record.curves(session, trained or slot)
        return TrialDetail(**known, curves=tuple(curves), epochs=epochs)


def parameter_names(database: Database, name: str | int) -> list[str]:
    """The searched parameters in declared order."""
    with database.session() as session:
        study = study_rows.find_study(session, name)
    return list(SearchSpace.from_json(study.specification["space"]).names)


def workers_alive(database: Database) -> int:
    """Workers of the installation that were heard of within their lease."""
    with database.session() as session:
        return _workers_alive(database, session)


def _workers_alive(database: Database, session: Session) -> int:
    alive = (Worker.lease_expires > database.now(session)) & Worker.ended_at.is_(None)
    return session.scalar(select(func.count()).where(alive)) or 0


# Studies


def _study(database: Database, session: Session, study: Study) -> StudySummary:
    counts = slot_rows.count_slots(session, study.id)
    asked, run, reused = session.execute(
        select(
            func.coalesce(func.sum(Slot.epochs_asked), 0),
            func.coalesce(func.sum(Slot.epochs_run), 0),
            func.coalesce(func.sum(Slot.epochs_reused), 0),
        ).where(Slot.study_id == study.id)
    ).one()
    best = _best(session, study)
    return StudySummary(
        id=study.id,
        name=study.name,
        model=study.specification["model"],
        dataset=study.specification["dataset"],
        state=str(study.state),
        reason=study.reason,
        outage=study.outage,
        metric=study.metric,
        direction=study.direction,
        sampler=study.sampler["name"],
        trials_total=study.max_trials,
        counts={str(state): count for state, count in sorted(counts.items())},
        best_value=best.value if best else None,
        best_trial=best.number if best else None,
        best_params=best.params if best else None,
        best_valid_result=best.valid_result if best else None,
        best_test_result=best.test_result if best else None,
        baseline=study.baseline,
        created_at=study.created_at,
        started_at=study.started_at,
        ended_at=study.ended_at,
        eta_seconds=eta_seconds(session, study),
        workers_wanted=study.workers,
        workers_alive=_workers_alive(database, session),
        epochs=EpochCounts(int(asked), int(run), int(reused)),
        protocol=given_protocol(study.specification["config"]),
        computing_seconds=slot_rows.computing_seconds(session, study.id),
        shared_stages=_shared_stages(study.specification),
        weights=Weights(study.specification.get("keep", "best"), *slot_rows.weights_kept(session, study.id)),
        confirmation=_confirmation(session, study) if study.specification.get("confirm") else None,
    )


def _confirmation(session: Session, study: Study) -> Confirmation | None:
    space = SearchSpace.from_json(study.specification["space"])
    counts = _counts(study.specification["model"])
    return confirmation(session, study, lambda represented: _values(space, counts, represented))


def _shared_stages(specification: dict[str, Any]) -> tuple[str, ...]:
    """None where every trial begins from a pretrained model that it names."""
    model = specification["model"]
    if model not in model_names():
        return ()
    own = get_model(model).stages[-1].name
    named = (GIVEN, f"{own}.{GIVEN}")
    paths = [value for key, value in specification["config"].items() if key in named]
    for entry in specification["space"]["parameters"]:
        if entry["name"] in named:
            paths = entry.get("values", [])
    if paths and all(paths):
        return ()
    return tuple(stage.name for stage in get_model(model).shared_stages)


def _best(session: Session, study: Study) -> TrialSummary | None:
    number = optuna_tables.best_number(session, study)
    found = session.execute(_trials(study).where(Slot.optuna_number == number)).all() if number is not None else []
    return next(iter(_summaries(session, study, found)), None)


# Trials


def _trials(study: Study) -> Select[Any]:
    """Slots with what belongs to each: Optuna's trial and value, the worker, the progress."""
    return (
        select(
            Slot,
            optuna_tables.trials.c.trial_id,
            optuna_tables.trial_values.c.value,
            Worker.host,
            Worker.pid,
            tables.Progress,
        )
        .outerjoin(optuna_tables.trials, optuna_tables.of_slot(study.optuna_id))
        .outerjoin(optuna_tables.trial_values, optuna_tables.of_trial())
        .outerjoin(Worker, Worker.id == Slot.worker_id)
        .outerjoin(tables.Progress, tables.Progress.slot_id == Slot.id)
        .where(Slot.study_id == study.id)
    )


def _ordered(query: Select[Any], order: str) -> Select[Any]:
    name = order.removeprefix("-")
    columns: dict[str, Any] = {
        "number": Slot.optuna_number,
        "value": optuna_tables.trial_values.c.value,
        "started_at": Slot.started_at,
        "ended_at": Slot.ended_at,
        "state": Slot.state,
    }
    if name not in columns:
        raise ValueError(f"Trials can't be ordered by {name!r}. Orders: {', '.join(TRIAL_ORDERS)}.")
    wanted = columns[name].desc() if order.startswith("-") else columns[name].asc()
    return query.order_by(wanted.nulls_last(), Slot.optuna_number.asc().nulls_last(), Slot.ordinal)


def _summaries(session: Session, study: Study, found: Sequence[Row[Any]]) -> list[TrialSummary]:
    ids = [row.trial_id for row in found if row.trial_id is not None]
    params = optuna_tables.params_of(session, ids)
    attributes = optuna_tables.attributes_of(session, ids, OUTCOME)
    space = SearchSpace.from_json(study.specification["space"])
    counts = _counts(study.specification["model"])
    now = utc_now()
    return [
        _summary(
            row,
            _values(space, counts, params.get(row.trial_id) or row.Slot.parameters),
            TrialOutcome.read(attributes.get(row.trial_id, {})),
            now,
        )
        for row in found
    ]


def _summary(row: Row[Any], params: dict[str, Any] | None, outcome: TrialOutcome, now: datetime) -> TrialSummary:
    slot: Slot = row.Slot
    end = slot.ended_at or now
    return TrialSummary(
        number=slot.optuna_number,
        state=str(slot.state),
        params=params,
        value=row.value,
        started_at=slot.started_at,
        ended_at=slot.ended_at,
        seconds=(end - slot.started_at).total_seconds() if slot.started_at else None,
        worker=f"{row.host}:{row.pid}" if row.host else None,
        attempt=slot.attempt,
        error=_error(slot.error),
        progress=_progress(row.Progress),
        valid_result=outcome.valid_result,
        test_result=outcome.test_result,
        best_epoch=outcome.best_epoch,
        confirms=slot.confirms,
        seed=slot.seed,
        same_as=outcome.same_as,
        weights_bytes=slot.weights_bytes,
        paused_at=slot.paused_at if slot.state is TrialState.WAITING else None,
    )


def _values(space: SearchSpace, counts: frozenset[str], represented: dict[str, Any] | None) -> dict[str, Any] | None:
    """Values in the space's order; what others put into the Optuna study is shown as it is."""
    if not represented:
        return None
    try:
        values = space.values(represented)
    except SpaceError:
        return represented
    return {
        name: int(value) if isinstance(value, float) and name.rpartition(".")[2] in counts else value
        for name, value in values.items()
    }


def _counts(model: str) -> frozenset[str]:
    """Keys of the model that are whole numbers; quniform delivers them as 2.0."""
    if model not in model_names():  # a plug-in that is not installed here
        return frozenset()
    return frozenset(name for name, declared in parameters_of(model).items() if declared.kind == "int")


def _error(error: dict[str, Any] | None) -> TrialError | None:
    if error is None:
        return None
    return TrialError(error.get("type", ""), error.get("message", ""), error.get("traceback", ""))


def _progress(row: tables.Progress | None) -> Progress | None:
    if row is None:
        return None
    # The row's loss is a mean already.
    return Progress(row.stage, row.epoch, row.epochs, row.fraction, row.loss, row.valid_score, row.note, row.updated_at)
