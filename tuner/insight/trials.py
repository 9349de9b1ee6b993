"""Trials as people look at them: paged, bounded, one consistent snapshot each; or all of a study, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from model.registry import model_names, parameters_of
from tuner.errors import SpaceError, TrialNotFound
from tuner.insight.queries import trials as trial_queries
from tuner.insight.summaries import EpochCounts, Page, Progress, TrialDetail, TrialError, TrialSummary
from tuner.space import SearchSpace
from tuner.store import Database, Session, TrialState, optuna_tables, trial_record
from tuner.store import slots as slot_rows
from tuner.store import studies as study_rows
from tuner.store.tables import Progress as ProgressRow
from tuner.store.tables import Slot, Study, utc_now
from tuner.store.trial_outcome import OUTCOME, TrialOutcome

if TYPE_CHECKING:
    from sqlalchemy import Row

# Trials that are read at once where all of them are wanted.
_AT_A_TIME = 500
TrialOrder = Literal[
    "number", "-number", "value", "-value", "started_at", "-started_at", "ended_at", "-ended_at", "state", "-state"
]
TRIAL_ORDERS = tuple(order for order in get_args(TrialOrder) if not order.startswith("-"))


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
    wanted = None if state is None else TrialState(state)
    if (by := order.removeprefix("-")) not in TRIAL_ORDERS:
        raise ValueError(f"Trials can't be ordered by {by!r}. Orders: {', '.join(TRIAL_ORDERS)}.")
    with database.session() as session:
        study = study_rows.find_study(session, name)
        total, found = trial_queries.page(session, study, wanted, order, limit, offset)
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
            found = trial_queries.following(session, study, wanted, last, _AT_A_TIME)
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
        found = trial_queries.one(session, study, number)
        if found is None:
            raise TrialNotFound(f"{study.name} has no trial {number}.")
        (summary,) = _summaries(session, study, [found])
        slot: Slot = found.Slot
        known = {field.name: getattr(summary, field.name) for field in fields(summary)}
        epochs = EpochCounts(slot.epochs_asked, slot.epochs_run, slot.epochs_reused)
        trained = slot if summary.same_as is None else slot_rows.find_slot(session, study.id, summary.same_as)
        curves = trial_record.curves(session, trained or slot)
        return TrialDetail(**known, curves=tuple(curves), epochs=epochs)


def find_trial(session: Session, study: Study, number: int) -> TrialSummary | None:
    """The study's trial of that number, if it has one."""
    found = trial_queries.one(session, study, number)
    return None if found is None else _summaries(session, study, [found])[0]


def readable(study: Study) -> Callable[[dict[str, Any] | None], dict[str, Any] | None]:
    """What turns parameters in Optuna's representation into those that people are shown."""
    space = SearchSpace.from_json(study.specification["space"])
    return partial(_values, space, _counts(study.specification["model"]))


def _summaries(session: Session, study: Study, found: Sequence[Row[Any]]) -> list[TrialSummary]:
    ids = [row.trial_id for row in found if row.trial_id is not None]
    params = optuna_tables.params_of(session, ids)
    attributes = optuna_tables.attributes_of(session, ids, OUTCOME)
    shown = readable(study)
    now = utc_now()
    return [
        _summary(
            row,
            shown(params.get(row.trial_id) or row.Slot.parameters),
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


def _progress(row: ProgressRow | None) -> Progress | None:
    if row is None:
        return None
    # The row's loss is a mean already.
    return Progress(row.stage, row.epoch, row.epochs, row.fraction, row.loss, row.valid_score, row.note, row.updated_at)
