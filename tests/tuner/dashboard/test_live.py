"""Parts of a page are sent when they changed, and only then."""

from __future__ import annotations

import plotly.graph_objects as go
from dash import Patch, html, no_update

from tuner.dashboard.components.live import Parts


def test_what_the_browser_has_is_not_sent_again() -> None:
    first = Parts(None)
    assert first.component("head", html.P("one")) is not no_update
    assert first.value("pages", 1) == 1
    assert first.each("hidden", [True, False]) == [True, False]
    again = Parts(first.stored)
    assert again.component("head", html.P("one")) is no_update
    assert again.value("pages", 1) is no_update
    assert again.each("hidden", [True, False]) == [no_update, no_update]
    assert again.stored is no_update


def test_only_what_changed_is_sent() -> None:
    first = Parts(None)
    first.component("head", html.P("one"))
    first.value("pages", 1)
    second = Parts(first.stored)
    assert second.component("head", html.P("two")) is not no_update
    assert second.value("pages", 1) is no_update
    assert Parts(second.stored).component("head", html.P("two")) is no_update


def test_a_figure_is_made_only_when_its_key_changed_and_keeps_its_layout() -> None:
    made = []

    def make(points: int) -> go.Figure:
        made.append(points)
        return go.Figure({"data": [{"y": list(range(points))}], "layout": {"title": {"text": "same"}}})

    first = Parts(None)
    assert "layout" in first.figure("history", 1, lambda: make(1))
    second = Parts(first.stored)
    assert second.figure("history", 1, lambda: make(9)) is no_update
    assert made == [1]
    patch = second.figure("history", 2, lambda: make(2))
    assert isinstance(patch, Patch)
    assert "layout" not in str(patch.to_plotly_json())
