"""The table of a study's trials: a page of rows at a time, sorted and filtered by the database."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import html

from tuner.dashboard.components import text
from tuner.dashboard.components.aria import aria
from tuner.insight import StudySummary, TrialSummary
from tuner.store import TrialState

PER_PAGE = 50
_ORDERS = [
    {"value": "number", "label": "by number"},
    {"value": "-number", "label": "newest first"},
    {"value": "best", "label": "best first"},
]
_STATES = ("all", *TrialState)


def trials_grid(parameters: list[str], metric: str) -> html.Section:
    """The card; callbacks fill ``trials`` and read the controls."""
    return html.Section(
        className="card span-12",
        children=[
            html.Div(
                className="card-head",
                children=[
                    html.H3("Trials"),
                    html.Span(id="trials-total", className="muted"),
                    html.Div(className="grow"),
                    dmc.Select(
                        id="trials-state",
                        data=[{"value": str(state), "label": str(state)} for state in _STATES],
                        value="all",
                        size="xs",
                        w=120,
                        allowDeselect=False,
                        **aria(label="State"),
                    ),
                    dmc.Select(
                        id="trials-order",
                        data=_ORDERS,
                        value="number",
                        size="xs",
                        w=130,
                        allowDeselect=False,
                        **aria(label="Order"),
                    ),
                ],
            ),
            dag.AgGrid(
                id="trials",
                columnDefs=_columns(parameters, metric),
                rowData=[],
                getRowId="params.data.key",
                defaultColDef={"sortable": False, "resizable": True, "suppressMovable": True, "minWidth": 76},
                columnSize="responsiveSizeToFit",
                dashGridOptions={
                    "theme": {"function": "rectunerTheme(themeQuartz)"},
                    "domLayout": "autoHeight",
                    "headerHeight": 34,
                    "rowHeight": 34,
                    "suppressCellFocus": True,
                    "tooltipShowDelay": 200,
                },
                style={"height": None},
                className="trials",
            ),
            html.Div(
                className="pages",
                children=dmc.Pagination(id="trials-page", total=1, value=1, size="sm", hideWithOnePage=True),
            ),
        ],
    )


def trial_rows(study: StudySummary, trials: tuple[TrialSummary, ...], offset: int) -> list[dict[str, Any]]:
    """Rows for the grid, everything as text so that what is seen is what was sent."""
    return [_row(study, trial, offset + place) for place, trial in enumerate(trials)]


def order_for(choice: str | None, direction: str) -> str:
    """The report's order for what was chosen."""
    if choice == "best":
        return "-value" if direction == "maximize" else "value"
    return choice or "number"


def _row(study: StudySummary, trial: TrialSummary, place: int) -> dict[str, Any]:
    waiting = trial.number is None
    row: dict[str, Any] = {
        "key": f"waiting-{place}" if waiting else str(trial.number),
        "number": None if waiting else trial.number,
        "href": None if waiting else f"/studies/{quote(study.name, safe='')}/trials/{trial.number}",
        "best": trial.number is not None and trial.number == study.best_trial,
        "state": trial.state,
        "value": text.score(trial.value) if trial.value is not None else "",
        "progress": _progress(trial),
        "test": text.score(trial.test_result.get(study.metric)) if trial.test_result else "",
        "seconds": "" if trial.seconds is None else text.duration(_steady(trial)),
        "note": f"{trial.error.type}: {trial.error.message}" if trial.error else trial.again or "",
        "failed": trial.error is not None,
    }
    for name, value in (trial.params or {}).items():
        row[_field(name)] = text.value(value)
    return row


def _steady(trial: TrialSummary) -> float:
    """Of a running trial in steps of ten seconds, so that rows are not sent for a clock."""
    seconds = trial.seconds or 0.0
    return seconds if trial.ended_at is not None else seconds // 10 * 10


def _progress(trial: TrialSummary) -> str:
    if trial.progress is not None:
        return f"{trial.progress.stage} {trial.progress.epoch}/{trial.progress.epochs}"
    return f"{trial.best_epoch} (best)" if trial.best_epoch is not None else ""


def _field(parameter: str) -> str:
    # A dot in a field name would be a path to AG Grid.
    return "p_" + parameter.replace(".", "__")


def _columns(parameters: list[str], metric: str) -> list[dict[str, Any]]:
    number = {"type": "rightAligned", "cellClass": "ag-right-aligned-cell"}
    return [
        {
            "field": "number",
            "headerName": "#",
            "cellRenderer": "TrialLink",
            "maxWidth": 84,
            "minWidth": 64,
        },
        {"field": "state", "cellRenderer": "TrialState", "maxWidth": 136, "minWidth": 124, "headerName": "State"},
        {"field": "value", "headerName": f"valid {metric}", **number, "minWidth": 118},
        *[
            {
                "field": _field(name),
                "headerName": name,
                **number,
                "headerTooltip": name,
                "tooltipField": _field(name),
                # Wide enough for the name; the grid scrolls sideways when there are many.
                "minWidth": max(80, 8 * len(name) + 22),
            }
            for name in parameters
        ],
        {"field": "test", "headerName": "test", **number, "minWidth": 84},
        {"field": "progress", "headerName": "Epoch", "minWidth": 126},
        {"field": "seconds", "headerName": "Duration", **number, "minWidth": 96},
        {
            "field": "note",
            "headerName": "Note",
            "tooltipField": "note",
            "cellClassRules": {"error-cell": "params.data.failed"},
            "minWidth": 120,
        },
    ]
