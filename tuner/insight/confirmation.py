"""What running the best parameters with other seeds has shown: mean, spread, and whether the best is better."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import Any

from tuner.insight.queries import trials as trial_queries
from tuner.insight.summaries import Comparison, Confirmation, ConfirmedSet
from tuner.insight.trials import readable
from tuner.store import Session, optuna_tables
from tuner.store.states import TrialState
from tuner.store.tables import Study
from tuner.store.trial_outcome import OUTCOME, TrialOutcome


def confirmation(session: Session, study: Study) -> Confirmation | None:
    """What is known so far; None while the study has no confirmations."""
    slots = trial_queries.confirmations(session, study)
    if not slots:
        return None
    ids = [row.trial_id for row in slots if row.trial_id is not None]
    attributes = optuna_tables.attributes_of(session, ids, OUTCOME)
    chosen = trial_queries.values(session, study, {row.confirms for row in slots})
    shown = readable(study)
    found = []
    for number in dict.fromkeys(row.confirms for row in slots):
        runs = [row for row in slots if row.confirms == number]
        done = [row for row in runs if row.state is TrialState.COMPLETED and row.value is not None]
        tests = [TrialOutcome.read(attributes.get(row.trial_id, {})).test_result or {} for row in done]
        found.append(_set(number, shown(runs[0].parameters), chosen.get(number), done, tests))
    sign = -1 if study.direction == "maximize" else 1
    found.sort(key=lambda entry: (entry.mean is None, sign * (entry.mean or 0.0), entry.trial))
    ended = sum(row.state.ended for row in slots)
    return Confirmation(ended, len(slots), tuple(found), _compare(found))


def _set(
    number: int,
    params: dict[str, Any] | None,
    value: float | None,
    done: list[Any],
    tests: list[dict[str, float]],
) -> ConfirmedSet:
    values = tuple(float(row.value) for row in done)
    metrics = [metric for metric in tests[0] if all(metric in test for test in tests)] if tests else []
    measured = {metric: [test[metric] for test in tests] for metric in metrics}
    return ConfirmedSet(
        trial=number,
        params=params,
        value=value,
        seeds=tuple(row.seed for row in done),
        values=values,
        mean=fmean(values) if values else None,
        spread=stdev(values) if len(values) > 1 else None,
        test_result={metric: fmean(results) for metric, results in measured.items()},
        test_spread={metric: stdev(results) for metric, results in measured.items() if len(results) > 1},
    )


def _compare(sets: list[ConfirmedSet]) -> Comparison | None:
    """The first two, when they share two seeds."""
    if len(sets) < 2:
        return None
    best, following = (dict(zip(entry.seeds, entry.values, strict=True)) for entry in sets[:2])
    seeds = [seed for seed in best if seed in following]
    if len(seeds) < 2:
        return None
    differences = [best[seed] - following[seed] for seed in seeds]
    return Comparison(sets[0].trial, sets[1].trial, len(seeds), fmean(differences), _p_value(differences))


def _p_value(differences: list[float]) -> float | None:
    if len(set(differences)) == 1:
        return None
    from scipy.stats import ttest_1samp

    # The paired test is that of one sample: the differences.
    return float(ttest_1samp(differences, 0.0).pvalue)
