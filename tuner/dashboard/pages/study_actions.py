"""The buttons of a study: pause, resume, stop, cancel, through the engine as everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anyio import to_thread
from dash import Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from tuner.dashboard.acting import acting
from tuner.dashboard.components.icons import icon
from tuner.dashboard.context import Context
from tuner.dashboard.permission import require_write
from tuner.engine.studies import steering
from tuner.errors import TunerError
from tuner.insight import StudySummary
from tuner.store import Database

_VERBS: dict[str, Callable[[Database, str], Any]] = {
    "pause": steering.pause,
    "resume": steering.resume,
    "stop": steering.stop,
    "cancel": steering.cancel,
}
_HINTS = {
    "pause": "Start no new trials; running ones go on",
    "resume": "Go on",
    "stop": "Finish what runs, then end",
    "cancel": "End at once and abandon running trials",
}
OUTPUTS = [Output(f"study-{verb}", "hidden") for verb in _VERBS]


def hidden(study: StudySummary) -> list[bool]:
    """Which buttons to hide, in the order of ``OUTPUTS``."""
    return [study.state not in steering.CHANGES[verb] for verb in _VERBS]


def buttons(study: StudySummary) -> Component:
    """The row of buttons."""
    return html.Div(
        className="actions",
        children=[_button(verb, is_hidden) for verb, is_hidden in zip(_VERBS, hidden(study), strict=True)],
    )


def register(app: Dash, context: Context) -> None:
    """One callback for all buttons; what the engine says stands in ``study-message``."""

    clicks = [
        Input("study-pause", "n_clicks"),
        Input("study-resume", "n_clicks"),
        Input("study-stop", "n_clicks"),
        Input("study-cancel-sure", "submit_n_clicks"),
    ]

    @acting(app, Output("study-message", "children"), clicks, [State("study-name", "data")])
    async def act(clicked: str, name: str) -> Any:
        try:
            require_write()
            await to_thread.run_sync(_VERBS[clicked.split("-")[1]], context.database, name)
        except TunerError as error:
            return html.Div(str(error), className="card error", role="alert")
        return None


def _button(verb: str, is_hidden: bool) -> Component:
    button = html.Button(
        [icon(verb), verb.capitalize()],
        id=f"study-{verb}",
        className="button" if verb != "cancel" else "button danger",
        title=_HINTS[verb],
        hidden=is_hidden,
        type="button",
    )
    if verb != "cancel":
        return button
    return dcc.ConfirmDialogProvider(
        button, id="study-cancel-sure", message="Cancel this study? Running trials are abandoned at once."
    )


__all__ = ["OUTPUTS", "buttons", "hidden", "register"]
