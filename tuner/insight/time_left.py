"""How long a study will take until its budget is used up, roughly: its trials on their own, shared stages once."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.insight.queries import epochs as epoch_queries
from tuner.insight.queries import stages as stage_queries
from tuner.insight.queries import trials as trial_queries
from tuner.store import Session, StudyState, optuna_tables, trial_record
from tuner.store import stages as stage_rows
from tuner.store.states import Origin
from tuner.store.tables import Study
from tuner.store.trial_outcome import SECONDS, TEST, TrialOutcome

# Trials that ended last say best what one costs.
_MOST_TRIALS = 100


@dataclass(frozen=True)
class _Cost:
    """Seconds that a trial has computed: in its own stage with its test, and for shared stages."""

    own: float
    shared: float


def eta_seconds(session: Session, study: Study, waiting: int) -> float | None:
    """Seconds until no trial of the study is left, None when nothing tells: it does not run, or no trial has ended.

    Every open trial takes the mean time of those that ended, in its own stage; running trials share that. What is
    missing of the shared stages that they need is counted once for all of them.

    Args:
        waiting: the number of trials of the search that wait.
    """
    if study.state is not StudyState.RUNNING:
        return None
    ended = _ended(session, study)
    if not ended:
        return None
    mean = sum(cost.own for cost in ended) / len(ended)
    running = trial_queries.running_of_the_search(session, study)
    done = trial_record.seconds_by_slot(session, running)
    own = mean * waiting + sum(max(0.0, mean - done.get(slot_id, 0.0)) for slot_id in running)
    shared = _shared(session, study, _new_stages(ended))
    at_once = max(1, len(running))
    # One stage is trained by one worker, whatever the others do.
    return own / at_once + sum(shared) / min(at_once, max(1, len(shared)))


def _ended(session: Session, study: Study) -> list[_Cost]:
    """What the trials that ended last have cost, in the order of their numbers."""
    found = trial_queries.latest_costs(session, study, _MOST_TRIALS)
    own = trial_record.seconds_by_slot(session, [row.slot_id for row in found])
    outcomes = optuna_tables.attributes_of(session, [row.trial_id for row in found], (SECONDS,))
    costs = []
    for row in found:
        tested = (TrialOutcome.read(outcomes.get(row.trial_id, {})).seconds or {}).get(TEST, 0.0)
        trained = own.get(row.slot_id, 0.0)
        costs.append(_Cost(trained + tested, max(0.0, row.seconds_run - trained)))
    return costs


def _new_stages(ended: list[_Cost]) -> float:
    """Seconds for shared stages of a trial of which nobody knows which it needs: those of the ones after the first."""
    later = ended[1:]
    return sum(cost.shared for cost in later) / len(later) if later else 0.0


def _shared(session: Session, study: Study, unknown: float) -> list[float]:
    """Seconds of each shared stage that is missing for the open trials."""
    per_epoch = epoch_queries.mean_shared_seconds(session, study)
    missing: dict[str, int] = {}
    seconds: list[float] = []
    for key, group, origin, epochs, trials in stage_queries.needs(session, study):
        if key is not None:
            _note_missing(session, key, epochs, missing)
        elif group is not None:
            missing[group] = max(missing.get(group, 0), epochs)
        elif origin is Origin.SAMPLED:
            seconds += [unknown] * trials
    seconds += [per_epoch * epochs for epochs in missing.values()]
    return [missed for missed in seconds if missed > 0.0]


def _note_missing(session: Session, key: str, epochs: int, missing: dict[str, int]) -> None:
    """Note the epochs of a stage that are not trained, and those of what it starts from where it has not begun."""
    furthest = stage_rows.furthest(session, key)
    missing[key] = max(missing.get(key, 0), epochs - furthest)
    if furthest == 0 and (before := stage_queries.begins_from(session, key)) is not None:
        _note_missing(session, *before, missing)
