"""Reading and writing studies, events, progress and curves: each function is one step of a transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, delete, exists, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from tuner.errors import StudyNotFound
from tuner.store.points import CurvePoint
from tuner.store.states import ENDED_TRIAL_STATES, Origin, StudyState, TrialState
from tuner.store.tables import Base, Epoch, Event, Progress, SharedStage, Slot, StageEpoch, Study, utc_now


def find_study(session: Session, name_or_id: str | int, *, lock: bool = False) -> Study:
    """The study of that name, else of that id.

    New studies have no names of digits alone; one from before that did is found by its name, and shadows the id.

    Args:
        lock: keep other transactions from changing the row until this one ends.

    Raises:
        StudyNotFound: there is none.
    """
    if "\0" in str(name_or_id):  # which PostgreSQL does not even look for
        raise StudyNotFound(f"There is no study {name_or_id!r}.")
    query = select(Study).with_for_update() if lock else select(Study)
    study = session.scalar(query.where(Study.name == str(name_or_id)))
    if study is None and str(name_or_id).isdecimal() and int(name_or_id) < 2**31:
        study = session.scalar(query.where(Study.id == int(name_or_id)))
    if study is None:
        raise StudyNotFound(f"There is no study {name_or_id!r}.")
    return study


def find_slot(session: Session, study_id: int, number: int) -> Slot | None:
    """The slot of the study's trial ``number`` (Optuna's)."""
    return session.scalar(select(Slot).where(Slot.study_id == study_id, Slot.optuna_number == number))


def set_state(
    session: Session, study: Study, state: StudyState, reason: str | None, *, outage: str | None = None
) -> None:
    """Move a study to ``state``, keep its clock, and record the event.

    Args:
        outage: what is away or full, when that is why it pauses: it goes on by itself then.
    """
    now = utc_now()
    was_counting = study.running_since is not None
    counts = state in (StudyState.RUNNING, StudyState.STOPPING)
    if study.running_since is not None and not counts:
        study.seconds_before += (now - study.running_since).total_seconds()
        study.running_since = None
    elif counts and not was_counting:
        study.running_since = now
    if state is StudyState.RUNNING and study.started_at is None:
        study.started_at = now
    study.ended_at = now if state.ended else None
    if state is not StudyState.STOPPING:
        study.ends_as = None
    study.state, study.reason, study.outage, study.changed_at = state, reason, outage, now
    add_event(session, study.id, str(state), reason or f"The study is {state}.")


def going(study: Study) -> StudyState:
    """The state of a study that goes on."""
    return StudyState.QUEUED if study.started_at is None else StudyState.RUNNING


def add_event(session: Session, study_id: int | None, kind: str, message: str, *, trial: int | None = None) -> None:
    """Record that something happened."""
    session.add(Event(study_id=study_id, kind=kind, message=message, trial=trial))


def count_slots(session: Session, study_id: int) -> dict[TrialState, int]:
    """The number of slots in each state that occurs, confirmations not included."""
    query = select(Slot.state, func.count()).where(Slot.study_id == study_id, Slot.origin != Origin.CONFIRM)
    return dict(session.execute(query.group_by(Slot.state)).all())


def count_running(session: Session, study_id: int) -> int:
    """The number of trials that run, confirmations included."""
    query = select(func.count()).where(Slot.study_id == study_id, Slot.state == TrialState.RUNNING)
    return session.scalar(query) or 0


def computing_seconds(session: Session, study_id: int) -> float:
    """Time of all epochs that were computed for the study."""
    return float(session.scalar(select(func.sum(Slot.seconds_run)).where(Slot.study_id == study_id)) or 0.0)


def has_work_begun(session: Session, study_id: int) -> bool:
    """Whether a trial of the study runs, or was begun and waits to be continued."""
    return bool(session.scalar(select(exists().where(Slot.study_id == study_id, begun()))))


def paused_by_outage(session: Session) -> Sequence[Study]:
    """Studies that go on when what they need is there again."""
    return session.scalars(select(Study).where(Study.state == StudyState.PAUSED, Study.outage.is_not(None))).all()


def count_work(session: Session, study_id: int | None = None) -> int:
    """The number of trials that run or may be claimed, in studies that go on (or in this one).

    Those of a study that an outage paused count: a worker has to find out that it is over.
    """
    going = (StudyState.QUEUED, StudyState.RUNNING)
    waits = (Study.state == StudyState.PAUSED) & Study.outage.is_not(None)
    query = (
        select(func.count())
        .select_from(Slot)
        .join(Study, Study.id == Slot.study_id)
        .where(
            or_(
                (Study.state.in_(going) | waits) & still_open(),
                (Study.state == StudyState.STOPPING) & begun(),
            )
        )
    )
    if study_id is not None:
        query = query.where(Slot.study_id == study_id)
    return session.scalar(query) or 0


def begun() -> ColumnElement[bool]:
    """Slots whose trial runs, or was begun and waits to be continued; and confirmations, once there are any."""
    known = or_(Slot.optuna_number.is_not(None), Slot.origin == Origin.CONFIRM)
    return still_open() & or_(Slot.state == TrialState.RUNNING, known)


def still_open() -> ColumnElement[bool]:
    """Slots whose trial runs or may be claimed, which one that waits for its promotion may not."""
    return or_(Slot.state == TrialState.RUNNING, (Slot.state == TrialState.WAITING) & Slot.paused_at.is_(None))


def own_seconds(session: Session, slot_id: int) -> float:
    """Computing time of the trial's own stage."""
    return float(session.scalar(select(func.sum(Epoch.seconds)).where(Epoch.slot_id == slot_id)) or 0.0)


def optuna_number(session: Session, slot_id: int) -> int | None:
    """The number of the slot's trial, None before it has begun."""
    return session.scalar(select(Slot.optuna_number).where(Slot.id == slot_id))


def ended_numbers(session: Session, study_id: int, *states: TrialState, among: Collection[int]) -> Sequence[int]:
    """Those of the trials ``among`` that have ended, in one of ``states`` if any are given."""
    wanted = states or tuple(ENDED_TRIAL_STATES)
    query = select(Slot.optuna_number).where(Slot.study_id == study_id, Slot.state.in_(wanted))
    found = session.scalars(query.where(Slot.optuna_number.in_(among)))
    return [number for number in found if number is not None]


def wrong_weights(session: Session, study_id: int, kept: Mapping[int, int]) -> dict[int, int | None]:
    """Slots whose record of kept weights is not what is kept, with the size in bytes that it should be."""
    recorded = or_(Slot.weights_bytes.is_not(None), Slot.optuna_number.in_(kept))
    query = select(Slot.id, Slot.optuna_number, Slot.weights_bytes).where(Slot.study_id == study_id, recorded)
    wrong: dict[int, int | None] = {}
    for slot, number, size in session.execute(query).all():
        now = None if number is None else kept.get(number)
        if now != size:
            wrong[slot] = now
    return wrong


def note_weights(session: Session, sizes: Mapping[int, int | None]) -> None:
    """Record the size of the weights that are kept, by slot."""
    for slot, size in sizes.items():
        session.execute(update(Slot).where(Slot.id == slot).values(weights_bytes=size))


def weights_kept(session: Session, study_id: int) -> tuple[int, int]:
    """(trials of which weights are kept, their size in bytes)."""
    query = select(func.count(), func.sum(Slot.weights_bytes)).where(Slot.study_id == study_id)
    trials, size = session.execute(query.where(Slot.weights_bytes.is_not(None))).one()
    return trials, int(size or 0)


def last_ended(session: Session, study: Study, limit: int) -> Sequence[Slot]:
    """The trials that ended last since the study was last set running, newest first."""
    query = select(Slot).where(Slot.study_id == study.id, Slot.ended_at.is_not(None))
    if study.running_since is not None:
        query = query.where(Slot.ended_at >= study.running_since)
    return session.scalars(query.order_by(Slot.ended_at.desc(), Slot.id.desc()).limit(limit)).all()


def write_progress(session: Session, slot_id: int, values: Mapping[str, Any]) -> None:
    """Overwrite where the slot's trial is."""
    upsert(session, Progress, {"slot_id": slot_id, "updated_at": utc_now(), **values}, ("slot_id",))


def delete_progress(session: Session, slot_id: int) -> None:
    session.execute(delete(Progress).where(Progress.slot_id == slot_id))


def write_epoch(session: Session, values: Mapping[str, Any]) -> None:
    """Record a finished epoch of a trial's own stage; a repeated one overwrites its equal."""
    upsert(session, Epoch, values, ("slot_id", "stage", "epoch"))


def curves(session: Session, slot: Slot) -> list[CurvePoint]:
    """Every finished epoch that led to the slot's trial, of the shared stages first."""
    points: list[CurvePoint] = []
    key, epochs = slot.stage_key, slot.stage_epochs or 0
    while key is not None and (stage := session.get(SharedStage, key)) is not None:
        query = select(StageEpoch).where(StageEpoch.stage_key == key, StageEpoch.epoch <= epochs)
        found = session.scalars(query.order_by(StageEpoch.epoch))
        points[:0] = [_point(stage.stage, row, None, None) for row in found]
        key, epochs = stage.before_key, stage.before_epoch or 0
    own = select(Epoch).where(Epoch.slot_id == slot.id).order_by(Epoch.stage, Epoch.epoch)
    for row in session.scalars(own):
        points.append(_point(row.stage, row, row.valid_score, row.valid_result))
    return points


def _point(
    stage: str, row: Epoch | StageEpoch, valid_score: float | None, valid_result: dict[str, Any] | None
) -> CurvePoint:
    return CurvePoint(stage, row.epoch, row.loss, row.mean_loss, valid_score, valid_result, row.seconds)


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


def lease_baseline(session: Session, study_id: int, now: float, seconds: float) -> bool:
    """Take the right to compute the study's baseline, if nobody has it or did it."""
    free = or_(Study.baseline_lease.is_(None), Study.baseline_lease < now)
    statement = (
        update(Study).where(Study.id == study_id, Study.baseline.is_(None), free).values(baseline_lease=now + seconds)
    )
    return changed_rows(session, statement) == 1
