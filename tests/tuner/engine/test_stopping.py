from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from tuner.engine.course.stopping import reason_to_end, standing
from tuner.specification import StudySpecification

BEGIN = datetime(2026, 1, 1)
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "hpo.json").read_text())


def trials(*values: float | None) -> list[FrozenTrial]:
    """Trials that ended one after the other, None for one that failed."""
    made = []
    for number, value in enumerate(values):
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        trial = create_trial(state=state, value=value)
        trial.number = number
        trial.datetime_complete = BEGIN + timedelta(seconds=number)
        made.append(trial)
    return made


def reason(
    *values: float | None,
    direction: StudyDirection = StudyDirection.MAXIMIZE,
    seconds: float = 0.0,
    computing: float = 0.0,
    **rules: Any,
) -> str | None:
    specification = StudySpecification(name="s", model="S3Rec", dataset="d", space={}, **rules)
    return reason_to_end(specification, standing(trials(*values), direction, seconds, computing))


def test_nothing_ends_a_study_without_rules() -> None:
    assert reason(0.1, 0.1, 0.1, seconds=1e9) is None


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ((0.1, 0.2, 0.1), False),
        ((0.1, 0.2, 0.1, 0.2), True),  # an equal value is no improvement
        ((0.1, 0.2, None, 0.1), False),  # a failure says nothing
        ((0.1, 0.2, 0.1, 0.3), False),
    ],
)
def test_early_stop_counts_trials_without_improvement(values: tuple[float | None, ...], ends: bool) -> None:
    found = reason(*values, early_stop=2)
    assert found == ("early stop: no improvement in 2 trials since trial 1" if ends else None)


@pytest.mark.parametrize("case", GOLDEN["early_stop"], ids=lambda case: f"{case['name']}-{case['early_stop']}")
def test_early_stop_ends_after_as_many_trials_as_in_the_peer(case: dict[str, Any]) -> None:
    direction = StudyDirection.MAXIMIZE if case["valid_score_bigger"] else StudyDirection.MINIMIZE
    sign = 1 if case["valid_score_bigger"] else -1
    given = [sign * float(score) for score in case["scores_if_bigger"]]
    scores = [*given, *[given[-1]] * 60][:60]
    ran = next(
        (
            number
            for number in range(1, 61)
            if reason(*scores[:number], direction=direction, early_stop=case["early_stop"])
        ),
        60,
    )
    assert ran == case["n_run"]


@pytest.mark.parametrize("case", GOLDEN["best"], ids=lambda case: case["name"])
def test_the_best_trial_is_the_first_of_the_best_and_zero_is_a_value(case: dict[str, Any]) -> None:
    scores = [float(score) for score in case["scores"]]
    direction = StudyDirection.MAXIMIZE if case["valid_score_bigger"] else StudyDirection.MINIMIZE
    best = standing(trials(*(None if math.isnan(score) else score for score in scores)), direction, 0.0).best
    assert best is not None
    # RecBole takes a best score of 0 for none and keeps a NaN that came first; neither is followed.
    if 0.0 in scores or any(map(math.isnan, scores)):
        usable = [score for score in scores if not math.isnan(score)]
        assert best.number == scores.index(max(usable) if case["valid_score_bigger"] else min(usable))
    else:
        assert best.number == case["best_trial_index"]


def test_early_stop_goes_by_the_time_of_finishing() -> None:
    done = trials(0.5, 0.1, 0.2)
    done[0].datetime_complete = BEGIN + timedelta(minutes=1)  # trial 0 was the last to finish
    specification = StudySpecification(name="s", model="S3Rec", dataset="d", space={}, early_stop=1)
    assert reason_to_end(specification, standing(done, StudyDirection.MAXIMIZE, 0.0)) is None


@pytest.mark.parametrize(
    ("direction", "value", "ends"),
    [
        (StudyDirection.MAXIMIZE, 0.3, True),
        (StudyDirection.MAXIMIZE, 0.29, False),
        (StudyDirection.MINIMIZE, 0.3, True),
        (StudyDirection.MINIMIZE, 0.31, False),
    ],
)
def test_a_target_value_ends_the_study(direction: StudyDirection, value: float, ends: bool) -> None:
    found = reason(value, direction=direction, target_value=0.3)
    assert found == ("target value: trial 0 reached 0.3 (wanted 0.3)" if ends else None)


def test_a_time_limit_ends_the_study() -> None:
    assert reason(seconds=9.0, timeout_seconds=10.0) is None
    assert reason(seconds=10.0, timeout_seconds=10.0) == "time limit: 10 seconds are used"


def test_computing_time_ends_the_study_however_many_workers_it_took() -> None:
    assert reason(seconds=9000.0, computing=7199.0, computing_hours=2.0) is None
    found = reason(seconds=100.0, computing=7236.0, computing_hours=2.0)
    assert found == "computing time: 2.01 of 2 hours are used"
