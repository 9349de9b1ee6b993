"""When a study ends before its budget is used, and in which words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner.specification import StudySpecification


@dataclass(frozen=True)
class Standing:
    """What the rules look at.

    Attributes:
        finished: trials with a value, by number.
        seconds: wall-clock time that the study has been running.
        computing_seconds: time of the epochs that were computed for it, all trials and shared stages together.
    """

    finished: Sequence[FrozenTrial]
    direction: StudyDirection
    seconds: float
    computing_seconds: float

    def better(self, value: float, than: float) -> bool:
        return value < than if self.direction is StudyDirection.MINIMIZE else value > than

    @property
    def best(self) -> FrozenTrial | None:
        """The first of the best trials."""
        best: FrozenTrial | None = None
        for trial in self.finished:
            if best is None or self.better(_value(trial), _value(best)):
                best = trial
        return best


def standing(
    trials: Sequence[FrozenTrial], direction: StudyDirection, seconds: float, computing_seconds: float = 0.0
) -> Standing:
    """The standing of a study whose trials are these."""
    done = [
        trial
        for trial in trials
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and trial.values is not None
    ]
    return Standing(sorted(done, key=lambda trial: trial.number), direction, seconds, computing_seconds)


def reason_to_end(specification: StudySpecification, standing: Standing) -> str | None:
    """Why the study should end now, or None."""
    for rule in RULES:
        if reason := rule(specification, standing):
            return reason
    return None


def _target(specification: StudySpecification, standing: Standing) -> str | None:
    target, best = specification.target_value, standing.best
    if target is None or best is None or standing.better(target, than=_value(best)):
        return None
    return f"target value: trial {best.number} reached {_value(best):g} (wanted {target:g})"


def _no_improvement(specification: StudySpecification, standing: Standing) -> str | None:
    patience, best = specification.early_stop, standing.best
    if patience is None or best is None:
        return None
    # By the time of finishing: with parallel workers a lower number may well be the later result.
    since = sum(1 for trial in standing.finished if _finished_after(trial, best))
    if since + 1 == len(standing.finished):
        # As long as nothing improved on the first trial, RecBole counts that one too.
        ends = since > 0 and since + 1 >= patience
        return f"early stop: no improvement in the first {since + 1} trials" if ends else None
    return f"early stop: no improvement in {since} trials since trial {best.number}" if since >= patience else None


def _timeout(specification: StudySpecification, standing: Standing) -> str | None:
    limit = specification.timeout_seconds
    if limit is None or standing.seconds < limit:
        return None
    return f"time limit: {limit:g} seconds are used"


def _computing_time(specification: StudySpecification, standing: Standing) -> str | None:
    limit = specification.computing_hours
    if limit is None or standing.computing_seconds < limit * 3600:
        return None
    return f"computing time: {standing.computing_seconds / 3600:.3g} of {limit:g} hours are used"


RULES: tuple[Callable[[StudySpecification, Standing], str | None], ...] = (
    _target,
    _no_improvement,
    _timeout,
    _computing_time,
)


def _finished_after(trial: FrozenTrial, other: FrozenTrial) -> bool:
    if trial.datetime_complete is None or other.datetime_complete is None:
        return False
    return (trial.datetime_complete, trial.number) > (other.datetime_complete, other.number)


def _value(trial: FrozenTrial) -> float:
    assert trial.values is not None  # standing() keeps only trials that have one
    return float(trial.values[0])
