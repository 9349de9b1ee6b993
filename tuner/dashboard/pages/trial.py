"""``/studies/<name>/trials/<number>``: one trial, live."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote

from anyio import to_thread
from dash import ALL, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from rich.filesize import decimal

from model.registry import BASELINE, get_model, model_names
from tuner import insight
from tuner.dashboard.components import text
from tuner.dashboard.components.aria import aria
from tuner.dashboard.components.badge import badge
from tuner.dashboard.components.bars import stage_bar
from tuner.dashboard.components.chart import chart
from tuner.dashboard.components.facts import facts, metrics_table, tile
from tuner.dashboard.components.live import FAST_MS, SLOW_MS, Parts
from tuner.dashboard.context import Context
from tuner.dashboard.pages import trial_pictures
from tuner.dashboard.pages.page import Page
from tuner.engine.files.weights import weights_name
from tuner.errors import TrialNotFound
from tuner.insight import StudySummary, TrialDetail, figures
from tuner.store.states import ENDED_TRIAL_STATES, OPEN_TRIAL_STATES, VALUED_TRIAL_STATES


def _layout(context: Context, name: str, number: str) -> Component:
    if not number.isdecimal():
        raise TrialNotFound(f"{name} has no trial {number}.")
    study = insight.get_study(context.database, name)
    trial = insight.get_trial(context.database, name, int(number))
    shown = _shown(study, trial)
    parts = Parts(None)
    for part, component in shown.items():
        parts.component(part, component)
    return html.Div(
        children=[
            dcc.Store(id="trial-key", data={"name": study.name, "number": trial.number}),
            # What is there already is not sent again by the first update, which would close an opened traceback.
            dcc.Store(id="trial-marks", data=parts.stored),
            dcc.Interval(id="trial-tick", interval=FAST_MS),
            html.Nav(
                className="crumbs",
                **aria(label="Breadcrumb"),
                children=[
                    dcc.Link("Studies", href="/"),
                    html.Span("/"),
                    dcc.Link(study.name, href=f"/studies/{quote(study.name, safe='')}"),
                    html.Span("/"),
                    html.Span(f"Trial {number}"),
                ],
            ),
            html.Div(id="trial-head", children=shown["head"]),
            html.Div(id="trial-error", children=shown["error"]),
            html.Div(
                className="grid",
                children=[
                    html.Div(chart("trial-scores", "Validation", hint="after each epoch"), className="span-8"),
                    html.Section(
                        className="card span-4",
                        children=[
                            html.Div(html.H3("Parameters"), className="card-head"),
                            html.Div(id="trial-params", children=shown["params"]),
                        ],
                    ),
                    *_losses(study.model),
                    html.Section(
                        className="card span-12",
                        children=[
                            html.Div(html.H3("Metrics"), className="card-head"),
                            html.Div(id="trial-metrics", children=shown["metrics"]),
                        ],
                    ),
                    *trial_pictures.cards(study.model),
                ],
            ),
        ],
    )


def _register(app: Dash, context: Context) -> None:
    @app.callback(
        Output("trial-head", "children"),
        Output("trial-error", "children"),
        Output("trial-params", "children"),
        Output("trial-metrics", "children"),
        Output("trial-scores", "figure"),
        Output({"part": "loss", "stage": ALL}, "figure"),
        Output("trial-marks", "data"),
        Output("trial-tick", "interval"),
        Input("trial-tick", "n_intervals"),
        Input("scheme", "data"),
        State("trial-key", "data"),
        State("trial-marks", "data"),
        State({"part": "loss", "stage": ALL}, "id"),
    )
    async def update(
        _ticks: int | None,
        scheme: str | None,
        key: dict[str, Any],
        marks: dict[str, str] | None,
        losses: list[dict[str, str]],
    ) -> tuple[Any, ...]:
        stages = [identity["stage"] for identity in losses]
        return await to_thread.run_sync(_update, context, scheme or "light", key, marks, stages)

    trial_pictures.register(app, context)


def _losses(model: str) -> list[Component]:
    """A chart for each stage that the model trains in; a model that is not installed here has none."""
    stages = [stage.name for stage in get_model(model).stages] if model in model_names() else []
    width = "span-6" if len(stages) > 1 else "span-12"
    return [
        html.Div(
            chart({"part": "loss", "stage": stage}, f"Loss of {stage}", height=220),
            id=f"trial-{stage}",
            className=width,
        )
        for stage in stages
    ]


def _update(
    context: Context, scheme: str, key: dict[str, Any], marks: dict[str, str] | None, stages: list[str]
) -> tuple[Any, ...]:
    study = insight.get_study(context.database, key["name"])
    trial = insight.get_trial(context.database, key["name"], key["number"])
    parts = Parts(marks)
    drawn = (scheme, len(trial.curves), trial.best_epoch)
    pace = SLOW_MS if trial.state in ENDED_TRIAL_STATES else FAST_MS
    return (
        *(parts.component(part, component) for part, component in _shown(study, trial).items()),
        parts.figure("scores", drawn, lambda: figures.trial_scores(trial, scheme, study.metric.partition("@")[0])),
        [parts.figure(stage, drawn, partial(figures.trial_loss, trial, stage, scheme)) for stage in stages],
        parts.stored,
        parts.value("pace", pace),
    )


def _shown(study: StudySummary, trial: TrialDetail) -> dict[str, Component | None]:
    """The page's parts besides the figures, in the order of the callback's outputs."""
    return {
        "head": _head(study, trial),
        "error": _error(trial),
        "params": _parameters(trial),
        "metrics": _metrics(study, trial),
    }


def _head(study: StudySummary, trial: TrialDetail) -> Component:
    title: list[Component] = [html.H1(f"Trial {trial.number}"), badge(trial.state)]
    if trial.number == study.best_trial:
        title.append(html.Span("best of the study", className="pill"))
    if trial.again:
        title.append(html.Span(trial.again, className="pill"))
    return html.Div(
        [
            html.Div(title, className="title-row"),
            _progress(study, trial),
            html.Div(
                className="tiles",
                children=[
                    tile(f"Valid {study.objective}", text.score(_value(trial)), _best_epoch(trial)),
                    tile(f"Test {study.metric}", text.score((trial.test_result or {}).get(study.metric))),
                    tile("Duration", text.duration(_rounded(trial)), _started(trial)),
                    tile(
                        "Pretraining",
                        f"{trial.epochs.run} run",
                        f"{trial.epochs.reused} of {trial.epochs.asked} reused",
                    )
                    if trial.epochs.asked
                    else None,
                    tile("Worker", trial.worker or "–", f"attempt {trial.attempt}" if trial.attempt else None),
                ],
            ),
        ]
    )


def _value(trial: TrialDetail) -> float | None:
    if trial.value is not None:
        return trial.value
    return trial.progress.valid_score if trial.progress else None


def _best_epoch(trial: TrialDetail) -> str | None:
    return f"epoch {trial.best_epoch}" if trial.best_epoch is not None else None


def _started(trial: TrialDetail) -> Component | None:
    if trial.started_at is None:
        return None
    return html.Span(f"started {text.ago(trial.started_at)}", title=text.at(trial.started_at))


def _rounded(trial: TrialDetail) -> float | None:
    """Of a running trial in steps of ten seconds, so that the page is not sent for a clock."""
    if trial.seconds is None or trial.ended_at is not None:
        return trial.seconds
    return trial.seconds // 10 * 10


def _progress(study: StudySummary, trial: TrialDetail) -> Component | None:
    now = trial.progress
    if trial.state not in OPEN_TRIAL_STATES or now is None:
        return None
    if now.note and not now.epoch:  # it waits
        return html.Div(now.note, className="card now small")
    line: list[Any] = [html.B(now.stage), f" epoch {now.epoch} of {now.epochs}", f" · loss {text.loss(now.mean_loss)}"]
    if now.note:
        line.append(f" · {now.note}")
    bar = stage_bar(now, study.shared_stages)
    return html.Div(className="card now", children=[html.Div(line, className="small"), bar])


def _error(trial: TrialDetail) -> Component | None:
    if trial.error is None:
        return None
    ended = trial.state in ("failed", "lost")
    return html.Section(
        className="card error",
        children=[
            html.Div(
                [html.B(trial.error.type), html.Span("" if ended else " in an earlier attempt", className="muted")]
            ),
            html.P(trial.error.message),
            html.Details([html.Summary("Traceback"), html.Pre(trial.error.traceback)])
            if trial.error.traceback
            else None,
        ],
    )


def _parameters(trial: TrialDetail) -> Component:
    if not trial.params:
        return html.P("Not chosen yet.", className="muted")
    return facts({name: text.value(value) for name, value in trial.params.items()})


def _metrics(study: StudySummary, trial: TrialDetail) -> Component:
    if not trial.valid_result and not trial.test_result:
        ended = trial.state in ENDED_TRIAL_STATES
        text_for = "The trial ended without." if ended else "There are metrics when the trial has ended."
        return html.P(text_for, className="muted")
    baseline = study.baseline or {}
    table = metrics_table(
        {"Valid": trial.valid_result, "Test": trial.test_result, f"{BASELINE} (test)": baseline.get("test")}
    )
    return html.Div([table, _weights(study, trial)])


def _weights(study: StudySummary, trial: TrialDetail) -> Component | None:
    """The trained model to take away, or how to get it."""
    if trial.state not in VALUED_TRIAL_STATES:
        return None
    if trial.weights_bytes is None:
        command = html.Code(f"tuner trial retrain {study.name} {trial.number}")
        return html.P(["Its weights are not kept. To get them: ", command], className="muted small")
    address = f"/api/v1/studies/{quote(study.name, safe='')}/trials/{trial.number}/checkpoint"
    # Not dcc.Link, which would ask the dashboard for the page.
    link = html.A(
        f"Weights of epoch {trial.best_epoch}", href=address, download=weights_name(study.name, trial.number or 0)
    )
    return html.P([link, f", {decimal(trial.weights_bytes)}: RecBole loads them too."], className="small")


PAGE = Page("/studies/{name}/trials/{number}", _layout, _register)
