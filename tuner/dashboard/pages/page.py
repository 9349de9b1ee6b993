"""What a page is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dash import Dash
from dash.development.base_component import Component

from tuner.dashboard.context import Context


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        path: its address; parts in braces are passed to ``layout`` by name.
        layout: the content for an address; may raise StudyNotFound or TrialNotFound.
        register: adds the page's callbacks to the application.
    """

    path: str
    layout: Callable[..., Component]
    register: Callable[[Dash, Context], None]
