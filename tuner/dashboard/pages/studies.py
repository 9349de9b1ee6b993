"""``/``: all studies, newest first."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import dash_mantine_components as dmc
from anyio import to_thread
from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from model.registry import BASELINE, DEFAULT
from tuner import insight
from tuner.dashboard.components import text
from tuner.dashboard.components.badge import badge
from tuner.dashboard.components.bars import trials_bar
from tuner.dashboard.components.empty import commands
from tuner.dashboard.components.live import FAST_MS, Parts
from tuner.dashboard.context import Context
from tuner.dashboard.pages.page import Page
from tuner.insight import StudySummary

_PER_PAGE = 25


def _layout(context: Context) -> Component:
    return html.Div(
        children=[
            html.Div(
                className="title-row",
                children=[
                    html.H1("Studies"),
                    html.Div(className="grow"),
                    html.Div(id="studies-count", className="muted"),
                ],
            ),
            html.Div(id="studies", children=_list(context, 1)[0]),
            html.Div(
                className="pages",
                children=dmc.Pagination(id="studies-page", total=1, value=1, size="sm", hideWithOnePage=True),
            ),
            dcc.Store(id="studies-marks"),
            dcc.Interval(id="studies-tick", interval=FAST_MS),
        ],
    )


def _register(app: Dash, context: Context) -> None:
    @app.callback(
        Output("studies", "children"),
        Output("studies-count", "children"),
        Output("studies-page", "total"),
        Output("studies-marks", "data"),
        Input("studies-tick", "n_intervals"),
        Input("studies-page", "value"),
        State("studies-marks", "data"),
    )
    async def update(_ticks: int | None, page: int | None, marks: dict[str, str] | None) -> tuple[Any, ...]:
        content, total = await to_thread.run_sync(_list, context, page or 1)
        parts = Parts(marks)
        count = f"{total} in all" if total > 1 else ""
        pages = max(1, -(-total // _PER_PAGE))
        return (
            parts.component("list", content),
            parts.component("count", count),
            parts.value("pages", pages),
            parts.stored,
        )


def _list(context: Context, page: int) -> tuple[Component, int]:
    found = insight.list_studies(context.database, limit=_PER_PAGE, offset=(page - 1) * _PER_PAGE)
    if not found.total:
        return _first_steps(context), 0
    head = ["Study", "State", "Trials", "Best", "Started", "Time"]
    return (
        html.Div(
            className="table studies",
            role="table",
            children=[
                html.Div(
                    className="row head", role="row", children=[html.Span(name, role="columnheader") for name in head]
                ),
                *[_row(study) for study in found.items],
            ],
        ),
        found.total,
    )


def _row(study: StudySummary) -> dcc.Link:
    return dcc.Link(
        href=f"/studies/{quote(study.name, safe='')}",
        className="row",
        children=[
            html.Span(
                className="cell-name",
                children=[
                    html.Span(study.name, className="strong"),
                    html.Span(f"{study.model} · {study.dataset} · {study.sampler}", className="muted small"),
                ],
            ),
            html.Span(
                className="cell-state",
                children=[
                    badge(study.state),
                    html.Span(study.reason, className="muted small clip", title=study.reason),
                ],
            ),
            html.Span(
                className="cell-trials",
                children=[
                    html.Span(
                        [html.B(study.trials_done), f" of {study.trials_total}"],
                        className="small",
                        title=study.exceptions or None,
                    ),
                    trials_bar(study),
                ],
            ),
            html.Span(
                className="cell-best",
                children=[
                    html.Span(text.score(study.best_value), className="strong number"),
                    html.Span(_against_baseline(study), className="muted small"),
                ],
            ),
            html.Span(text.ago(study.started_at), title=text.at(study.started_at), className="muted"),
            html.Span(_time(study), className="muted"),
        ],
    )


def _against_baseline(study: StudySummary) -> str:
    baseline = (study.baseline or {}).get("valid", {}).get(study.metric)
    if study.best_value is None or not baseline:
        return study.metric
    return f"{study.metric} · {study.best_value / baseline:.1f}× {BASELINE}"


def _time(study: StudySummary) -> str:
    if study.ended and study.started_at and study.ended_at:
        return f"took {text.duration((study.ended_at - study.started_at).total_seconds())}"
    if study.eta_seconds is not None:
        return f"{_coarse(study.eta_seconds)} left"
    return "–"


def _coarse(seconds: float) -> str:
    """The time left without the seconds that would change at every look."""
    return "under a minute" if seconds < 60 else text.duration(60 * round(seconds / 60))


def _first_steps(context: Context) -> Component:
    address = f"http://{context.settings.host}:{context.settings.port}"
    return commands(
        "Launch a first study",
        "Fetch a data set, write what to search, and start. The study appears here while it runs.",
        [
            "tuner data get ml-100k",
            f"tuner models {DEFAULT} --space > hyper.test",
            f"tuner run --model={DEFAULT} --dataset=ml-100k --params_file=hyper.test",
            f"curl -F params_file=@hyper.test -F model={DEFAULT} -F dataset=ml-100k {address}/api/v1/studies",
        ],
    )


PAGE = Page("/", _layout, _register)
