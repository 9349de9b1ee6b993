"""From the address in the browser to a page."""

from __future__ import annotations

from urllib.parse import unquote

from anyio import to_thread
from dash import Dash, Input, Output
from dash.development.base_component import Component

from tuner.dashboard.components.empty import message
from tuner.dashboard.context import Context
from tuner.dashboard.pages import PAGES
from tuner.errors import StudyNotFound, TrialNotFound


def register(app: Dash, context: Context) -> None:
    """Show the page of the current address, and give the document its title."""

    @app.callback(Output("page", "children"), Input("location", "pathname"))
    async def show(pathname: str | None) -> Component:
        return await to_thread.run_sync(page_at, context, pathname or "/")

    app.clientside_callback(  # type: ignore[no-untyped-call]
        """function (pathname) {
            var parts = (pathname || "/").split("/").filter(Boolean).map(decodeURIComponent);
            var title = parts[0] === "studies" && parts[1]
                ? (parts[3] ? "Trial " + parts[3] + " · " : "") + parts[1] + " · " : "";
            document.title = title + "Rectuner";
            window.scrollTo(0, 0);
            return window.dash_clientside.no_update;
        }""",
        Output("location", "hash"),
        Input("location", "pathname"),
    )


def page_at(context: Context, pathname: str) -> Component:
    """The content for an address; a message when there is nothing there."""
    parts = [unquote(part) for part in pathname.split("/") if part]
    for page in PAGES:
        values = match(page.path, parts)
        if values is not None:
            try:
                return page.layout(context, **values)
            except (StudyNotFound, TrialNotFound) as error:
                return message(str(error), "All studies", "/")
    return message(f"There is no page {pathname}.", "All studies", "/")


def match(pattern: str, parts: list[str]) -> dict[str, str] | None:
    """The values of ``{names}`` in ``pattern`` when the parts of a path fit it, else None."""
    wanted = [part for part in pattern.split("/") if part]
    if len(wanted) != len(parts):
        return None
    values: dict[str, str] = {}
    for expected, part in zip(wanted, parts, strict=True):
        if expected.startswith("{"):
            values[expected.strip("{}")] = part
        elif expected != part:
            return None
    return values
