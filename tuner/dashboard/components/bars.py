"""Bars: trials by state, and the progress of one trial."""

from __future__ import annotations

from collections.abc import Collection

from dash import html

from tuner.dashboard.components.aria import aria
from tuner.insight import Progress, StudySummary
from tuner.store.states import ENDED_TRIAL_STATES, TrialState

_ORDER = (*ENDED_TRIAL_STATES, TrialState.RUNNING)


def trials_bar(study: StudySummary) -> html.Div:
    """The study's budget, filled by what became of the trials."""
    total = max(study.trials_total or 0, sum(study.counts.values()), 1)
    shown = [(state, study.counts[state]) for state in _ORDER if study.counts.get(state)]
    label = ", ".join(f"{count} {state}" for state, count in shown) or "no trial yet"
    return html.Div(
        className="bar",
        title=label,
        role="img",
        **aria(label=f"{label} of {total}"),
        children=[
            html.Span(className=f"bar-part part-{state}", style={"width": f"{100 * count / total:.2f}%"})
            for state, count in shown
        ],
    )


def stage_bar(progress: Progress, shared_stages: Collection[str]) -> html.Div:
    """How far the stage of a running trial is; a stage that trials share has a color of its own."""
    kind = "shared" if progress.stage in shared_stages else "own"
    done = (progress.epoch - 1 + progress.fraction) / max(progress.epochs, 1)
    percent = 100 * min(max(done, 0.0), 1.0)
    return html.Div(
        className="bar",
        role="progressbar",
        **aria(valuenow=f"{percent:.0f}", valuemin="0", valuemax="100"),
        children=html.Span(className=f"bar-part stage-{kind}", style={"width": f"{percent:.1f}%"}),
    )
