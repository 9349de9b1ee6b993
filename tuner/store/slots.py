"""Slots: how many of a study are in which state, what may still be done, and what is kept of those that ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from tuner.store.confirmations import slot_confirms, slot_of_the_search
from tuner.store.states import ENDED_TRIAL_STATES, OPEN_TRIAL_STATES, Origin, StudyState, TrialState
from tuner.store.tables import Slot, Study, utc_now


class Total(NamedTuple):
    """Trials in one state: epochs of shared stages that they asked for, that were run and reused; seconds of all."""

    state: TrialState
    trials: int
    asked: int
    run: int
    reused: int
    seconds: float


def find_slot(session: Session, study_id: int, number: int) -> Slot | None:
    """The slot of the study's trial ``number`` (Optuna's)."""
    return session.scalar(select(Slot).where(Slot.study_id == study_id, Slot.optuna_number == number))


def get_one(session: Session, slot_id: int, *, lock: bool = False) -> Slot:
    """The slot of that id, which is known to be there.

    Raises:
        NoResultFound: its study was deleted.
    """
    return session.get_one(Slot, slot_id, with_for_update=lock or None)


def begun_of_all(session: Session) -> Sequence[tuple[str, Slot]]:
    """(study's name, slot) of every trial that was begun, in the order of studies and numbers."""
    query = select(Study.name, Slot).join(Study, Study.id == Slot.study_id).where(Slot.optuna_number.is_not(None))
    return [(name, slot) for name, slot in session.execute(query.order_by(Slot.study_id, Slot.optuna_number)).all()]


def optuna_number(session: Session, slot_id: int) -> int | None:
    """The number of the slot's trial, None before it has begun."""
    return session.scalar(select(Slot.optuna_number).where(Slot.id == slot_id))


def next_ordinal(session: Session, study_id: int) -> int:
    """The place behind all of the study's slots."""
    last = session.scalar(select(func.max(Slot.ordinal)).where(Slot.study_id == study_id))
    return 0 if last is None else last + 1


def add_slots(session: Session, study_id: int, slots: Iterable[Mapping[str, Any]]) -> None:
    """Give the study more slots; of each the columns that are not as they are by default."""
    session.execute(insert(Slot), [{**slot, "study_id": study_id} for slot in slots])


def grid_parameters(session: Session, study_id: int) -> Sequence[dict[str, Any] | None]:
    """The combinations of the study's grid that have slots."""
    return session.scalars(select(Slot.parameters).where(Slot.study_id == study_id, Slot.origin == Origin.GRID)).all()


def abandon_waiting(session: Session, study_id: int) -> None:
    """Let no trial of a cancelled study be claimed: those that have not begun end, the others are left to the sweep.

    Trials that were begun have an Optuna trial to end; the sweep does that, as for lost ones.
    """
    waiting = (Slot.study_id == study_id) & (Slot.state == TrialState.WAITING)
    session.execute(
        update(Slot)
        .where(waiting & Slot.optuna_number.is_(None))
        .values(state=TrialState.CANCELLED, ended_at=utc_now())
    )
    session.execute(
        update(Slot)
        .where(waiting & Slot.optuna_number.is_not(None))
        .values(state=TrialState.RUNNING, lease_expires=0.0)
    )


def confirmed(session: Session, study_id: int) -> set[tuple[int | None, int | None]]:
    """(trial, seed) of the study's confirmations that were not left out."""
    query = select(Slot.confirms, Slot.seed).where(
        Slot.study_id == study_id, slot_confirms(), Slot.state != TrialState.CANCELLED
    )
    return {(row.confirms, row.seed) for row in session.execute(query)}


def leave_out_confirmations(session: Session, study_id: int) -> None:
    """Cancel the study's confirmations that have not begun."""
    session.execute(
        update(Slot)
        .where(
            Slot.study_id == study_id,
            slot_confirms(),
            Slot.state == TrialState.WAITING,
            Slot.optuna_number.is_(None),
        )
        .values(state=TrialState.CANCELLED, ended_at=utc_now())
        .execution_options(synchronize_session=False)
    )


def need_stage(session: Session, slot_id: int, key: str, epochs: int, asked: int) -> None:
    """Tell everybody which is the last shared stage that the slot's trial needs, and to which epoch.

    Args:
        asked: epochs of all shared stages that the trial needs.
    """
    values = {"stage_key": key, "stage_epochs": epochs, "epochs_asked": asked}
    session.execute(update(Slot).where(Slot.id == slot_id).values(**values))


def expect_stage(session: Session, study_id: int, group_key: str, key: str) -> None:
    """Tell everybody which shared stage the other trials of the group need, where that is not known."""
    session.execute(
        update(Slot)
        .where(Slot.study_id == study_id, Slot.group_key == group_key, Slot.stage_key.is_(None))
        .values(stage_key=key)
    )


def count_shared_epoch(session: Session, slot_id: int, seconds: float) -> None:
    """Count an epoch of a shared stage that was computed on behalf of the slot's trial."""
    session.execute(
        update(Slot)
        .where(Slot.id == slot_id)
        .values(epochs_run=Slot.epochs_run + 1, seconds_run=Slot.seconds_run + seconds)
    )


def count_own_epoch(session: Session, slot_id: int, seconds: float) -> None:
    """Count the computing time of an epoch of the trial's own stage."""
    session.execute(update(Slot).where(Slot.id == slot_id).values(seconds_run=Slot.seconds_run + seconds))


def count_reused(session: Session, slot_id: int, asked: int) -> None:
    """Count the epochs of shared stages that were there already, of the ``asked`` ones."""
    slot = session.get(Slot, slot_id, with_for_update=True)
    if slot is not None:
        slot.epochs_reused = max(asked - slot.epochs_run, 0)


def count_slots(session: Session, study_id: int) -> dict[TrialState, int]:
    """The number of slots in each state that occurs, confirmations not included."""
    query = select(Slot.state, func.count()).where(Slot.study_id == study_id, slot_of_the_search())
    return dict(session.execute(query.group_by(Slot.state)).all())


def count_running(session: Session, study_id: int) -> int:
    """The number of trials that run, confirmations included."""
    query = select(func.count()).where(Slot.study_id == study_id, Slot.state == TrialState.RUNNING)
    return session.scalar(query) or 0


def computing_seconds(session: Session, study_id: int) -> float:
    """Time of all epochs that were computed for the study."""
    return float(session.scalar(select(func.sum(Slot.seconds_run)).where(Slot.study_id == study_id)) or 0.0)


def totals(session: Session) -> Sequence[Total]:
    """The trials of all studies by state, with what they have cost."""
    query = select(
        Slot.state,
        func.count(),
        func.sum(Slot.epochs_asked),
        func.sum(Slot.epochs_run),
        func.sum(Slot.epochs_reused),
        func.coalesce(func.sum(Slot.seconds_run), 0.0),
    )
    found = session.execute(query.group_by(Slot.state).order_by(Slot.state))
    return [Total(state, trials, int(a), int(r), int(u), float(s)) for state, trials, a, r, u, s in found]


def has_open(session: Session, study_id: int) -> bool:
    """Whether a trial of the study runs or may be claimed."""
    return bool(session.scalar(select(exists().where(Slot.study_id == study_id, still_open()))))


def has_unended(session: Session, study_id: int) -> bool:
    """Whether a trial of the study has not ended; one that waits for its promotion has not."""
    query = exists().where(Slot.study_id == study_id, Slot.state.in_(OPEN_TRIAL_STATES))
    return bool(session.scalar(select(query)))


def has_work_begun(session: Session, study_id: int) -> bool:
    """Whether a trial of the study runs, or was begun and waits to be continued."""
    return bool(session.scalar(select(exists().where(Slot.study_id == study_id, begun()))))


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
    known = or_(Slot.optuna_number.is_not(None), slot_confirms())
    return still_open() & or_(Slot.state == TrialState.RUNNING, known)


def still_open() -> ColumnElement[bool]:
    """Slots whose trial runs or may be claimed, which one that waits for its promotion may not."""
    return or_(Slot.state == TrialState.RUNNING, (Slot.state == TrialState.WAITING) & Slot.paused_at.is_(None))


def ended_numbers(session: Session, study_id: int, *states: TrialState, among: Collection[int]) -> Sequence[int]:
    """Those of the trials ``among`` that have ended, in one of ``states`` if any are given."""
    wanted = states or ENDED_TRIAL_STATES
    query = select(Slot.optuna_number).where(Slot.study_id == study_id, Slot.state.in_(wanted))
    found = session.scalars(query.where(Slot.optuna_number.in_(among)))
    return [number for number in found if number is not None]


def last_ended(session: Session, study: Study, limit: int) -> Sequence[Slot]:
    """The trials that ended last since the study was last set running, newest first."""
    query = select(Slot).where(Slot.study_id == study.id, Slot.ended_at.is_not(None))
    if study.running_since is not None:
        query = query.where(Slot.ended_at >= study.running_since)
    return session.scalars(query.order_by(Slot.ended_at.desc(), Slot.id.desc()).limit(limit)).all()


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
