"""``/studies/<name>``: one study, live."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from anyio import to_thread
from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from model.registry import BASELINE
from tuner import insight
from tuner.dashboard.components import text
from tuner.dashboard.components.aria import aria
from tuner.dashboard.components.badge import badge
from tuner.dashboard.components.bars import stage_bar, trials_bar
from tuner.dashboard.components.chart import chart
from tuner.dashboard.components.confirmation import confirmation_card
from tuner.dashboard.components.facts import facts, metrics_table, tile
from tuner.dashboard.components.live import FAST_MS, SLOW_MS, Parts
from tuner.dashboard.components.trials_grid import PER_PAGE, order_for, trial_rows, trials_grid
from tuner.dashboard.context import Context
from tuner.dashboard.pages import study_actions, study_events
from tuner.dashboard.pages.page import Page
from tuner.insight import Importances, StudySummary, TrialSummary, figures, series
from tuner.insight.kept_importance import KEEPER
from tuner.insight.stage_tree import stage_tree

# More running trials than this are counted, not drawn.
_MOST_RUNNING = 8


def _layout(context: Context, name: str) -> Component:
    study = insight.get_study(context.database, name)
    running = insight.list_trials(context.database, name, state="running", limit=_MOST_RUNNING)
    # Callbacks need every part of the page, so that what a model has no use for is there but not shown.
    unshared: dict[str, Any] = {} if study.shared_stages else {"hidden": True}
    narrow = "span-4" if study.shared_stages else "span-6"
    return html.Div(
        children=[
            dcc.Store(id="study-name", data=study.name),
            dcc.Store(id="study-marks"),
            dcc.Store(id="trials-marks"),
            dcc.Interval(id="study-tick", interval=FAST_MS),
            html.Nav(
                className="crumbs",
                **aria(label="Breadcrumb"),
                children=[dcc.Link("Studies", href="/"), html.Span("/"), html.Span(study.name)],
            ),
            html.Div(
                className="title-row",
                children=[
                    html.Div(id="study-head", className="title", children=_head(study)),
                    html.Div(className="grow"),
                    study_actions.buttons(study),
                ],
            ),
            html.Div(id="study-message"),
            html.Div(id="study-tiles", children=_tiles(study)),
            html.Div(id="study-running", children=_running(study, running.items, running.total)),
            html.Div(id="study-confirmation", children=confirmation_card(study)),
            html.Div(
                className="grid",
                children=[
                    html.Div(chart("study-history", "Optimization history", height=300), className="span-8"),
                    html.Div(
                        chart("study-importance", "Parameter importance", height=280, note="study-importance-method"),
                        className="span-4",
                    ),
                    html.Div(chart("study-learning", "Learning curves", hint="valid score by epoch"), className=narrow),
                    html.Div(
                        chart("study-pretraining", "Pretraining", hint="mean loss per sample by epoch"),
                        className="span-4",
                        **unshared,
                    ),
                    html.Section(
                        className=f"card {narrow}",
                        children=[
                            html.Div(html.H3("Best trial"), className="card-head"),
                            html.Div(id="study-best", children=_best(study)),
                        ],
                    ),
                    html.Div(
                        chart("study-stages", "Shared work", hint="what was trained once, and the trials on it"),
                        className="span-12",
                        **unshared,
                    ),
                    html.Div(chart("study-slices", "Value by parameter"), className="span-12 wide"),
                    trials_grid(insight.parameter_names(context.database, name), study.metric),
                    study_events.card(),
                ],
            ),
        ]
    )


def _register(app: Dash, context: Context) -> None:
    study_actions.register(app, context)
    study_events.register(app, context)

    @app.callback(
        Output("study-head", "children"),
        Output("study-tiles", "children"),
        Output("study-running", "children"),
        Output("study-confirmation", "children"),
        Output("study-best", "children"),
        Output("study-history", "figure"),
        Output("study-importance", "figure"),
        Output("study-importance-method", "children"),
        Output("study-learning", "figure"),
        Output("study-pretraining", "figure"),
        Output("study-stages", "figure"),
        Output("study-slices", "figure"),
        Output("study-marks", "data"),
        Output("study-tick", "interval"),
        *study_actions.OUTPUTS,
        Input("study-tick", "n_intervals"),
        Input("scheme", "data"),
        Input("study-message", "children"),
        State("study-name", "data"),
        State("study-marks", "data"),
    )
    async def update(
        _ticks: int | None, scheme: str | None, _message: Any, name: str, marks: dict[str, str] | None
    ) -> tuple[Any, ...]:
        return await to_thread.run_sync(_update, context, scheme or "light", name, marks)

    # A click anywhere in a row opens the trial; its number is a real link besides.
    app.clientside_callback(  # type: ignore[no-untyped-call]
        """function (cell, name) {
            if (!cell || cell.colId === "number" || !/^\\d+$/.test(cell.rowId)) {
                return window.dash_clientside.no_update;
            }
            return "/studies/" + encodeURIComponent(name) + "/trials/" + cell.rowId;
        }""",
        Output("location", "pathname"),
        Input("trials", "cellClicked"),
        State("study-name", "data"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output("trials", "rowData"),
        Output("trials-total", "children"),
        Output("trials-page", "total"),
        Output("trials-marks", "data"),
        Input("study-tick", "n_intervals"),
        Input("trials-page", "value"),
        Input("trials-order", "value"),
        Input("trials-state", "value"),
        State("study-name", "data"),
        State("trials-marks", "data"),
    )
    async def rows(
        _ticks: int | None,
        page: int | None,
        order: str | None,
        state: str | None,
        name: str,
        marks: dict[str, str] | None,
    ) -> tuple[Any, ...]:
        return await to_thread.run_sync(_rows, context, name, page or 1, order, state, marks)


def _update(context: Context, scheme: str, name: str, marks: dict[str, str] | None) -> tuple[Any, ...]:
    database = context.database
    study = insight.get_study(database, name)
    running = insight.list_trials(database, name, state="running", limit=_MOST_RUNNING)
    activity = series.activity(database, name)
    importances = KEEPER.get(database, name)
    parts = Parts(marks)
    pace = SLOW_MS if study.ended and not running.total else FAST_MS

    def drawn(part: str, make: figures.Figure, *depends: Any) -> Any:
        return parts.figure(part, (scheme, *depends), lambda: make(database, name, scheme))

    return (
        parts.component("head", _head(study)),
        parts.component("tiles", _tiles(study)),
        parts.component("running", _running(study, running.items, running.total)),
        parts.component("confirmation", confirmation_card(study)),
        parts.component("best", _best(study)),
        drawn("history", figures.optimization_history, activity.ended, study.baseline is None),
        parts.figure("importance", (scheme, importances), lambda: figures.importance_bars(importances, name, scheme)),
        parts.value("method", _method(importances)),
        drawn("learning", figures.learning_curves, activity.ended, activity.epochs),
        drawn("pretraining", figures.pretraining_curves, activity.shared_epochs),
        drawn("stages", stage_tree, activity.shared_epochs, study.counts),
        drawn("slices", figures.parameter_slices, activity.ended),
        parts.stored,
        parts.value("pace", pace),
        *parts.each("action", study_actions.hidden(study)),
    )


def _rows(
    context: Context, name: str, page: int, order: str | None, state: str | None, marks: dict[str, str] | None
) -> tuple[Any, ...]:
    study = insight.get_study(context.database, name)
    found = insight.list_trials(
        context.database,
        name,
        state=None if state in (None, "all") else state,
        order=order_for(order, study.direction),
        limit=PER_PAGE,
        offset=(page - 1) * PER_PAGE,
    )
    parts = Parts(marks)
    rows = trial_rows(study, found.items, found.offset)
    pages = max(1, -(-found.total // PER_PAGE))
    return (
        parts.value("rows", rows),
        parts.unless_same("total", found.total, lambda: f"{found.total:,}"),
        parts.value("pages", pages),
        parts.stored,
    )


def _method(importances: Importances) -> str:
    """How the importances were found, and from how many trials."""
    newer = "newer trials are being looked at" if importances.pending and importances.method else ""
    return "; ".join(filter(None, (importances.method, newer)))


def _head(study: StudySummary) -> list[Component]:
    about = f"{study.model} on {study.dataset} · {study.sampler} · {study.direction} {study.objective}"
    return [
        html.Div([html.H1(study.name), badge(study.state)], className="title-line"),
        html.Div(
            [html.Span(about), html.Span(study.reason, className="reason") if study.reason else None], className="muted"
        ),
    ]


def _tiles(study: StudySummary) -> Component:
    running = study.counts.get("running", 0)
    note = ", ".join(part for part in (f"{running} running" if running else "", study.exceptions) if part)
    epochs = study.epochs
    return html.Div(
        className="tiles",
        children=[
            tile(f"Best valid {study.metric}", text.score(study.best_value), _against_baseline(study)),
            tile(
                f"Test {study.metric}",
                text.score((study.best_test_result or {}).get(study.metric)),
                _test_baseline(study),
            ),
            tile(
                "Trials",
                [str(study.trials_done), html.Span(f" / {study.trials_total}", className="of")],
                note or None,
                trials_bar(study),
            ),
            tile("Time left" if not study.ended else "Duration", *_time(study)),
            tile(
                "Pretraining epochs",
                f"{epochs.run:,}",
                f"run, {epochs.reused:,} of {epochs.asked:,} reused" if epochs.asked else None,
            )
            if study.shared_stages
            else tile("Computing time", text.duration(study.computing_seconds), "of all epochs"),
        ],
    )


def _against_baseline(study: StudySummary) -> str | None:
    baseline = (study.baseline or {}).get("valid", {}).get(study.metric)
    if not baseline:
        return None
    if study.best_value is None:
        return f"{BASELINE} {baseline:.4f}"
    return f"{study.best_value / baseline:.2f}× {BASELINE} ({baseline:.4f})"


def _test_baseline(study: StudySummary) -> str | None:
    baseline = (study.baseline or {}).get("test", {}).get(study.metric)
    return f"{BASELINE} {baseline:.4f}" if baseline else None


def _time(study: StudySummary) -> tuple[str, Component | None]:
    started = (
        html.Span(f"started {text.ago(study.started_at)}", title=text.at(study.started_at))
        if study.started_at
        else None
    )
    if study.ended:
        took = (
            text.duration((study.ended_at - study.started_at).total_seconds())
            if study.started_at and study.ended_at
            else "–"
        )
        return took, started
    if study.eta_seconds is None:
        return "–", started
    left = study.eta_seconds
    return "< 1 min" if left < 60 else text.duration(60 * round(left / 60)), started


def _running(study: StudySummary, trials: tuple[TrialSummary, ...], total: int) -> Component | None:
    if not trials:
        return None
    cards = [_running_card(study, trial) for trial in trials]
    if total > len(trials):
        cards.append(html.Div(f"and {total - len(trials)} more", className="muted"))
    return html.Div(cards, className="running")


def _running_card(study: StudySummary, trial: TrialSummary) -> Component:
    now = trial.progress
    params = " · ".join(filter(None, (text.params(trial.params), trial.again)))
    line: list[Any] = ["starting"]
    if now is not None and now.note and not now.epoch:
        line = ["waiting"]
    elif now is not None:
        line = [html.B(now.stage), f" epoch {now.epoch} of {now.epochs}"]
    figures_now = []
    if now is not None and now.mean_loss is not None:
        figures_now.append(f"loss {text.loss(now.mean_loss)}")
    if now is not None and now.valid_score is not None:
        figures_now.append(f"{study.metric} {text.score(now.valid_score)}")
    return dcc.Link(
        href=f"/studies/{quote(study.name, safe='')}/trials/{trial.number}",
        className="card now",
        children=[
            html.Div(
                [
                    html.Span(f"Trial {trial.number}", className="strong"),
                    html.Span(line, className="small"),
                    html.Span(" · ".join(figures_now), className="small muted number right"),
                ],
                className="now-line",
            ),
            stage_bar(now, study.shared_stages) if now is not None else None,
            html.Div(now.note if now is not None and now.note else params, className="small muted clip", title=params),
        ],
    )


def _best(study: StudySummary) -> Component:
    if study.best_trial is None:
        return html.P("No trial has finished yet.", className="muted")
    params = {name: text.value(value) for name, value in (study.best_params or {}).items()}
    short = {
        "Valid": _at_ten(study.best_valid_result),
        "Test": _at_ten(study.best_test_result),
        BASELINE: _at_ten((study.baseline or {}).get("test")),
    }
    return html.Div(
        [
            dcc.Link(
                f"Trial {study.best_trial}", href=f"/studies/{quote(study.name, safe='')}/trials/{study.best_trial}"
            ),
            facts(params),
            metrics_table(short),
            html.P(f"Weights kept {study.weights.sentence}.", className="muted small"),
        ]
    )


def _at_ten(result: dict[str, float] | None) -> dict[str, float] | None:
    """Metrics at the middle cutoff only, for a narrow card."""
    if not result:
        return None
    cutoffs = sorted({int(key.partition("@")[2]) for key in result if key.partition("@")[2].isdecimal()})
    if not cutoffs:
        return result
    middle = 10 if 10 in cutoffs else cutoffs[len(cutoffs) // 2]
    return {key: value for key, value in result.items() if key.endswith(f"@{middle}")}


PAGE = Page("/studies/{name}", _layout, _register)
