"""Parts of a page that are sent again only when they changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import plotly.graph_objects as go
import plotly.utils
from dash import Patch, no_update

# While something happens, and when nothing does: an ended study may be resumed elsewhere.
FAST_MS, SLOW_MS = 2000, 15000


class Parts:
    """Compares each part of a page with what the browser has, by fingerprints that the browser keeps.

    Args:
        stored: the fingerprints from the browser's store, None at first.
    """

    def __init__(self, stored: dict[str, str] | None) -> None:
        self._before = stored or {}
        self._now = dict(self._before)

    def unless_same(self, name: str, key: Any, make: Callable[[], Any]) -> Any:
        """``make()``, or no update when ``key`` is what it was; the key must decide the result."""
        mark = hashlib.blake2b(repr(key).encode(), digest_size=8).hexdigest()
        self._now[name] = mark
        return no_update if self._before.get(name) == mark else make()

    def component(self, name: str, component: Any) -> Any:
        """The component, or no update when it is what it was."""
        text = plotly.utils.PlotlyJSONEncoder().encode(component)
        return self.unless_same(name, text, lambda: component)

    def figure(self, name: str, key: Any, make: Callable[[], go.Figure]) -> Any:
        """The figure, or only its data when the layout is what the browser has, or no update.

        Since Dash 4.4 a zoom is written into the browser's figure, where it would be lost with a new layout.
        """

        def changed() -> Any:
            figure = make().to_dict()
            if self.component(f"{name} layout", figure["layout"]) is not no_update:
                return figure
            patch = Patch()
            patch["data"] = figure["data"]
            return patch

        return self.unless_same(name, key, changed)

    def value(self, name: str, value: Any) -> Any:
        """A plain value, or no update when it is what it was."""
        return self.unless_same(name, value, lambda: value)

    def each(self, name: str, values: Iterable[Any]) -> list[Any]:
        """Several plain values, each for itself."""
        return [self.value(f"{name}{place}", value) for place, value in enumerate(values)]

    @property
    def stored(self) -> Any:
        """What the browser has to keep; no update when that is the same too."""
        return no_update if self._now == self._before else self._now
