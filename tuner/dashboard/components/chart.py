"""A figure in a card."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

_CONFIG: Any = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["lasso2d", "select2d"]}


def chart(
    id: str | dict[str, str],
    title: str,
    *,
    height: int = 280,
    hint: str | None = None,
    control: Any = None,
    note: str | None = None,
) -> html.Section:
    """A card with a figure that a callback fills.

    Args:
        control: stands beside the title.
        note: id of a line below the figure, for a callback to fill.
    """
    heading: list[Any] = [html.H3(title)]
    if hint:
        heading.append(html.Span(hint, className="muted"))
    if control is not None:
        heading.append(html.Div(control, style={"marginLeft": "auto"}))
    return html.Section(
        className="card chart",
        children=[
            html.Div(className="card-head", children=heading),
            dcc.Graph(
                id=id,
                config=_CONFIG,
                style={"minHeight": f"{height}px"},
                # Nothing is better than an empty white axis until the first figure comes.
                figure={
                    "layout": {
                        "xaxis": {"visible": False},
                        "yaxis": {"visible": False},
                        "paper_bgcolor": "rgba(0,0,0,0)",
                        "plot_bgcolor": "rgba(0,0,0,0)",
                    }
                },
            ),
            html.P(id=note, className="muted small") if note else None,
        ],
    )
