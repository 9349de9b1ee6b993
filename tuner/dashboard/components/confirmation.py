"""What other seeds say of the best parameters."""

from __future__ import annotations

from urllib.parse import quote

from dash import dcc, html
from dash.development.base_component import Component

from tuner.dashboard.components import text
from tuner.insight import Confirmation, ConfirmedSet, StudySummary


def confirmation_card(study: StudySummary) -> Component | None:
    """A table with a row for each parameter set, and whether the best is better; None where nobody asked for it."""
    found = study.confirmation
    if found is None:
        return None
    heads = ("trial", f"valid {study.metric}", "test", "when found", "seeds")
    return html.Section(
        className="card",
        children=[
            html.Div([html.H3("Other seeds"), html.Span(_progress(found), className="muted")], className="card-head"),
            html.Div(
                className="scroll",
                children=html.Table(
                    className="metrics",
                    children=[
                        html.Thead(html.Tr([*map(html.Th, heads), html.Th("parameters", className="left")])),
                        html.Tbody([_row(study, entry) for entry in found.sets]),
                    ],
                ),
            ),
            html.P(found.comparison.sentence, className="muted small") if found.comparison else None,
        ],
    )


def _progress(found: Confirmation) -> str:
    return f"the best parameters run again, {found.done} of {found.total} runs ended"


def _row(study: StudySummary, entry: ConfirmedSet) -> Component:
    href = f"/studies/{quote(study.name, safe='')}/trials/{entry.trial}"
    cells = (
        _with_spread(entry.mean, entry.spread),
        _with_spread(entry.test_result.get(study.metric), entry.test_spread.get(study.metric)),
        text.score(entry.value),
        str(len(entry.seeds)),
    )
    return html.Tr(
        [
            html.Th(dcc.Link(str(entry.trial), href=href), scope="row"),
            *map(html.Td, cells),
            html.Td(text.params(entry.params), className="left"),
        ]
    )


def _with_spread(mean: float | None, spread: float | None) -> str:
    return text.score(mean) if spread is None else f"{text.score(mean)} ± {text.score(spread)}"
