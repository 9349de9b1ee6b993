"""Names with values, and metrics in a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dash import html

from tuner.dashboard.components import text


def facts(pairs: Mapping[str, Any]) -> html.Dl:
    """Parameters or figures, one a line."""
    return html.Dl(
        className="facts",
        children=[
            html.Div(
                [
                    html.Dt(name),
                    html.Dd(
                        value
                        if not isinstance(value, (int, float, bool, list, dict)) and value is not None
                        else text.value(value)
                    ),
                ]
            )
            for name, value in pairs.items()
        ],
    )


def tile(label: str, value: Any, note: Any = None, extra: Any = None) -> html.Div:
    """One number that matters, with what it means."""
    return html.Div(
        className="tile",
        children=[
            html.Div(label, className="tile-label"),
            html.Div(value, className="tile-value"),
            html.Div(note, className="tile-note") if note is not None else None,
            extra,
        ],
    )


def metrics_table(columns: Mapping[str, Mapping[str, float] | None]) -> html.Div:
    """Metrics by cutoff: one group of rows a metric, one column for every (result, cutoff)."""
    results = {title: result for title, result in columns.items() if result}
    names: dict[str, None] = {}
    cutoffs: dict[str, None] = {}
    for result in results.values():
        for key in result:
            metric, _, cutoff = key.partition("@")
            names[metric] = None
            cutoffs[cutoff] = None
    ordered = sorted(cutoffs, key=lambda cutoff: int(cutoff) if re.fullmatch(r"\d+", cutoff) else 0)
    head = [
        html.Tr([html.Th("")] + [html.Th(title, colSpan=len(ordered), className="group") for title in results]),
        html.Tr([html.Th("metric")] + [html.Th(f"@{c}" if c else "") for _ in results for c in ordered]),
    ]
    body = [
        html.Tr(
            [html.Th(metric, scope="row")]
            + [
                html.Td(text.score(result.get(f"{metric}@{cutoff}" if cutoff else metric)))
                for result in results.values()
                for cutoff in ordered
            ]
        )
        for metric in names
    ]
    return html.Div(
        className="scroll", children=html.Table(className="metrics", children=[html.Thead(head), html.Tbody(body)])
    )
