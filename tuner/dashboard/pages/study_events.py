"""The part of a study's page that says what happened to it, the newest first, a page at a time."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import dash_mantine_components as dmc
from anyio import to_thread
from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from tuner.dashboard.components import text
from tuner.dashboard.components.live import Parts
from tuner.dashboard.context import Context
from tuner.insight.events import KINDS, list_events
from tuner.insight.summaries import EventSummary

_PER_PAGE = 10


def card() -> html.Section:
    """The card; a callback fills it."""
    return html.Section(
        className="card span-12",
        children=[
            html.Div(
                [html.H3("Events"), html.Span(id="events-total", className="muted")],
                className="card-head",
            ),
            html.Div(id="events", className="scroll"),
            html.Div(
                className="pages",
                children=dmc.Pagination(id="events-page", total=1, value=1, size="sm", hideWithOnePage=True),
            ),
            dcc.Store(id="events-marks"),
        ],
    )


def register(app: Dash, context: Context) -> None:
    """Add the callback that lists."""

    @app.callback(
        Output("events", "children"),
        Output("events-total", "children"),
        Output("events-page", "total"),
        Output("events-marks", "data"),
        Input("study-tick", "n_intervals"),
        Input("events-page", "value"),
        State("study-name", "data"),
        State("events-marks", "data"),
    )
    async def update(_ticks: int | None, page: int | None, name: str, marks: dict[str, str] | None) -> tuple[Any, ...]:
        return await to_thread.run_sync(_update, context, name, page or 1, marks)


def _update(context: Context, name: str, page: int, marks: dict[str, str] | None) -> tuple[Any, ...]:
    found = list_events(context.database, name, limit=_PER_PAGE, offset=(page - 1) * _PER_PAGE)
    parts = Parts(marks)
    return (
        parts.component("list", _list(found.items, name)),
        parts.value("total", f"{found.total:,}"),
        parts.value("pages", max(1, -(-found.total // _PER_PAGE))),
        parts.stored,
    )


def _list(events: tuple[EventSummary, ...], name: str) -> Component:
    return html.Table(className="events", children=html.Tbody([_row(event, name) for event in events]))


def _row(event: EventSummary, name: str) -> Component:
    # The moment in full, which does not change from look to look.
    return html.Tr(
        [
            html.Td(text.at(event.at), className="muted number"),
            html.Td(html.Span(event.kind, className="pill"), title=KINDS.get(event.kind)),
            html.Td(_trial(event.trial, name)),
            html.Td(event.message, className="left"),
        ]
    )


def _trial(number: int | None, name: str) -> Component | None:
    if number is None:
        return None
    return dcc.Link(f"trial {number}", href=f"/studies/{quote(name, safe='')}/trials/{number}")
