"""Icons drawn here, as images with their own color by mask; no icon font, no CDN."""

from __future__ import annotations

from dash import html

from tuner.dashboard.components.aria import aria


def icon(name: str) -> html.Span:
    """One of the icons that style.css knows: sun, moon, pause, play, stop, cancel, back."""
    return html.Span(className=f"icon icon-{name}", **aria(hidden="true"))
