"""Callbacks that create, change or delete something. Each of them goes through :func:`acting`.

Dash calls a page's callbacks when the page is inserted. ``prevent_initial_call`` does not keep it from that where an
output was there before the page was, as the address is: so it is the event that has to be looked at, and not the call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dash import Dash, Input, State, ctx
from dash.exceptions import PreventUpdate

# Properties that count what a person did; they are None or 0 until then.
_COUNTERS = frozenset({"n_clicks", "submit_n_clicks"})

Act = Callable[..., Awaitable[Any]]


def acting(
    app: Dash, outputs: Any, clicks: Sequence[Input], states: Sequence[State] = (), **options: Any
) -> Callable[[Act], Act]:
    """Register a callback with an effect: it is called when one of ``clicks`` has counted a click, and only then.

    The function gets the id of what was clicked, and the values of ``states``.

    Args:
        clicks: the counters that may start it.
        options: further ones of Dash's ``callback``.

    Raises:
        ValueError: one of ``clicks`` is no counter of clicks.
    """
    for click in clicks:
        if click.component_property not in _COUNTERS:
            raise ValueError(f"{click} counts no clicks: only what a person did may have an effect.")

    def register(act: Act) -> Act:
        @app.callback(outputs, *clicks, *states, prevent_initial_call=True, **options)
        async def guarded(*values: Any) -> Any:
            clicked = _clicked(ctx.triggered)
            if clicked is None:
                raise PreventUpdate
            return await act(clicked, *values[len(clicks) :])

        return act

    return register


def _clicked(triggered: Sequence[dict[str, Any]]) -> str | None:
    """The id of the one element that counted a click; None where there is none, or no telling which."""
    counted = []
    for event in triggered:
        name, _, counter = str(event["prop_id"]).rpartition(".")
        value = event["value"]
        if counter in _COUNTERS and isinstance(value, int) and not isinstance(value, bool) and value > 0:
            counted.append(name)
    return counted[0] if len(counted) == 1 else None
