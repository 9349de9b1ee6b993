"""States by color and word, the same everywhere."""

from __future__ import annotations

from dash import html


def badge(state: str) -> html.Span:
    """A state of a study or a trial."""
    return html.Span(state, className=f"state state-{state}")
