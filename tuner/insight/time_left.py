"""How long a study will take until its budget is used up, roughly: its trials on their own, shared stages once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from tuner.store import StudyState, TrialState, optuna_tables
from tuner.store import stages as stage_rows
from tuner.store.confirmations import slot_of_the_search
from tuner.store.states import OPEN_TRIAL_STATES, VALUED_TRIAL_STATES, Origin
from tuner.store.tables import Epoch, SharedStage, Slot, StageEpoch, Study
from tuner.store.trial_outcome import SECONDS, TEST, TrialOutcome

# Trials that ended last say best what one costs.
_MOST_TRIALS = 100


@dataclass(frozen=True)
class _Cost:
    """Seconds that a trial has computed: in its own stage with its test, and for shared stages."""

    own: float
    shared: float


def eta_seconds(session: Session, study: Study) -> float | None:
    """Seconds until no trial of the study is left, None when nothing tells: it does not run, or no trial has ended.

    Every open trial takes the mean time of those that ended, in its own stage; running trials share that. What is
    missing of the shared stages that they need is counted once for all of them.
    """
    if study.state is not StudyState.RUNNING:
        return None
    ended = _ended(session, study)
    if not ended:
        return None
    mean = sum(cost.own for cost in ended) / len(ended)
    waiting = session.scalar(select(func.count()).where(*_open(study), Slot.state == TrialState.WAITING)) or 0
    running = session.scalars(select(Slot.id).where(*_open(study), Slot.state == TrialState.RUNNING)).all()
    done = _own_seconds(session, running)
    own = mean * waiting + sum(max(0.0, mean - done.get(slot_id, 0.0)) for slot_id in running)
    shared = _shared(session, study, _new_stages(ended))
    at_once = max(1, len(running))
    # One stage is trained by one worker, whatever the others do.
    return own / at_once + sum(shared) / min(at_once, max(1, len(shared)))


def _open(study: Study) -> tuple[ColumnElement[bool], ...]:
    return Slot.study_id == study.id, Slot.state.in_(OPEN_TRIAL_STATES), slot_of_the_search()


def _ended(session: Session, study: Study) -> list[_Cost]:
    """What the trials that ended last have cost, in the order of their numbers."""
    query = (
        select(Slot.id, Slot.seconds_run, optuna_tables.trials.c.trial_id)
        .join(optuna_tables.trials, optuna_tables.of_slot(study.optuna_id))
        .where(Slot.study_id == study.id, Slot.state.in_(VALUED_TRIAL_STATES))
        .where(slot_of_the_search())
    )
    found = session.execute(query.order_by(Slot.optuna_number.desc()).limit(_MOST_TRIALS)).all()[::-1]
    own = _own_seconds(session, [row.id for row in found])
    outcomes = optuna_tables.attributes_of(session, [row.trial_id for row in found], (SECONDS,))
    costs = []
    for row in found:
        tested = (TrialOutcome.read(outcomes.get(row.trial_id, {})).seconds or {}).get(TEST, 0.0)
        trained = own.get(row.id, 0.0)
        costs.append(_Cost(trained + tested, max(0.0, row.seconds_run - trained)))
    return costs


def _own_seconds(session: Session, slot_ids: Sequence[int]) -> dict[int, float]:
    query = select(Epoch.slot_id, func.sum(Epoch.seconds)).where(Epoch.slot_id.in_(slot_ids)).group_by(Epoch.slot_id)
    return {slot_id: float(seconds) for slot_id, seconds in session.execute(query)}


def _new_stages(ended: list[_Cost]) -> float:
    """Seconds for shared stages of a trial of which nobody knows which it needs: those of the ones after the first."""
    later = ended[1:]
    return sum(cost.shared for cost in later) / len(later) if later else 0.0


def _shared(session: Session, study: Study, unknown: float) -> list[float]:
    """Seconds of each shared stage that is missing for the open trials."""
    keys = select(stage_rows.standing(study.id).c.key).distinct()
    used = StageEpoch.stage_key.in_(keys)
    per_epoch = float(session.scalar(select(func.avg(StageEpoch.seconds)).where(used)) or 0.0)
    needs = select(Slot.stage_key, Slot.group_key, Slot.origin, func.max(Slot.stage_epochs), func.count())
    groups = needs.where(*_open(study)).group_by(Slot.stage_key, Slot.group_key, Slot.origin)
    missing: dict[str, int] = {}
    seconds: list[float] = []
    for key, group, origin, epochs, trials in session.execute(groups):
        if key is not None:
            _note_missing(session, key, epochs or 0, missing)
        elif group is not None:
            missing[group] = max(missing.get(group, 0), epochs or 0)
        elif origin is Origin.SAMPLED:
            seconds += [unknown] * trials
    seconds += [per_epoch * epochs for epochs in missing.values()]
    return [missed for missed in seconds if missed > 0.0]


def _note_missing(session: Session, key: str, epochs: int, missing: dict[str, int]) -> None:
    """Note the epochs of a stage that are not trained, and those of what it starts from where it has not begun."""
    furthest = stage_rows.furthest(session, key)
    missing[key] = max(missing.get(key, 0), epochs - furthest)
    stage = session.get(SharedStage, key)
    if furthest == 0 and stage is not None and stage.before_key is not None:
        _note_missing(session, stage.before_key, stage.before_epoch or 0, missing)
