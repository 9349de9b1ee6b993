"""The part of a trial's page for the pictures that its model offers: a user to choose, and the figure."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from anyio import to_thread
from dash import MATCH, Dash, Input, Output, State, html, no_update

from model.errors import ModelError
from tuner.dashboard.components.aria import aria
from tuner.dashboard.components.chart import chart
from tuner.dashboard.context import Context
from tuner.engine.files.weights import trial_weights
from tuner.errors import TunerError
from tuner.insight.pictures import picture, pictures_of, users_of

_HEIGHT = 460


def cards(model: str) -> list[html.Div]:
    """One card for each picture; its figure is drawn when the page is open, and only then."""
    return [_card(offered.name, offered.title) for offered in pictures_of(model)]


def register(app: Dash, context: Context) -> None:
    """Add the callback that draws."""

    @app.callback(
        Output({"picture": MATCH, "part": "figure"}, "figure"),
        Output({"picture": MATCH, "part": "figure"}, "style"),
        Output({"picture": MATCH, "part": "user"}, "data"),
        Output({"picture": MATCH, "part": "user"}, "placeholder"),
        Output({"picture": MATCH, "part": "note"}, "children"),
        Input({"picture": MATCH, "part": "user"}, "value"),
        Input("scheme", "data"),
        State({"picture": MATCH, "part": "user"}, "id"),
        State("trial-key", "data"),
    )
    async def draw(
        user: str | None, scheme: str | None, identity: dict[str, str], key: dict[str, Any]
    ) -> tuple[Any, ...]:
        return await to_thread.run_sync(_draw, context, identity["picture"], user, scheme or "light", key)


def _card(name: str, title: str) -> html.Div:
    user = dmc.Select(
        id={"picture": name, "part": "user"},
        placeholder="User",
        data=[],
        searchable=True,
        limit=50,
        size="xs",
        **aria(label=f"{title}: user"),
    )
    figure = {"picture": name, "part": "figure"}
    return html.Div(
        className="span-12",
        children=[
            chart(figure, title, height=_HEIGHT, hint="as the best epoch's model sees one user", control=user),
            html.P(id={"picture": name, "part": "note"}, className="muted small"),
        ],
    )


def _draw(context: Context, name: str, user: str | None, scheme: str, key: dict[str, Any]) -> tuple[Any, ...]:
    """Figure, its style, the users to choose from, the one that is shown, and why there is no figure."""
    try:
        weights = trial_weights(context.database, context.settings.artifacts, key["name"], key["number"])
        users = users_of(weights)
        chosen = users[0] if user is None else user
        figure = picture(weights, name, chosen, scheme)
    except (TunerError, ModelError) as error:
        return no_update, {"display": "none"}, [], "User", str(error)
    return figure, {"minHeight": f"{_HEIGHT}px"}, users, f"User {chosen}", None
