"""``/launch``: a study from a params file that is pasted or dropped."""

from __future__ import annotations

from dash import Dash, html
from dash.development.base_component import Component

from tuner.dashboard.context import Context
from tuner.dashboard.pages.page import Page


def _layout(context: Context) -> Component:
    return html.H1("Launch")


def _register(app: Dash, context: Context) -> None:
    pass


PAGE = Page("/launch", _layout, _register)
