"""What surrounds every page: the document, the header, the color scheme."""

from __future__ import annotations

import dash_mantine_components as dmc
from anyio import to_thread
from dash import Dash, Input, Output, State, dcc, html
from dash.exceptions import PreventUpdate

from tuner import insight
from tuner.dashboard.components.aria import aria
from tuner.dashboard.components.icons import icon
from tuner.dashboard.context import Context
from tuner.insight.theme import FONT

# The script sets the scheme before the first paint; the rest of the page follows it by attribute.
INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
<link rel="icon" type="image/svg+xml" href="/assets/favicon.svg">
{%css%}
<script>
(function () {
  var chosen = null;
  try { chosen = localStorage.getItem("mantine-color-scheme-value"); } catch (e) {}
  var dark = chosen === "dark" ||
    (chosen !== "light" && window.matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
</script>
</head>
<body>
{%app_entry%}
<footer>
{%config%}
{%scripts%}
{%renderer%}
</footer>
</body>
</html>"""


_MONO = 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "Liberation Mono", monospace'


def layout() -> dmc.MantineProvider:
    """The frame; pages go into ``page``."""
    return dmc.MantineProvider(
        id="provider",
        defaultColorScheme="auto",
        theme={
            "primaryColor": "indigo",
            "fontFamily": FONT,
            "fontFamilyMonospace": _MONO,
            "headings": {"fontFamily": FONT, "fontWeight": "650"},
            "defaultRadius": "md",
            "cursorType": "pointer",
        },
        children=[
            dcc.Location(id="location", refresh="callback-nav"),
            dcc.Store(id="scheme"),
            dcc.Interval(id="workers-tick", interval=5000),
            html.A("Skip to content", href="#page", className="skip"),
            html.Header(className="top", children=_header()),
            html.Main(id="page", className="page", tabIndex="-1"),
        ],
    )


def register(app: Dash, context: Context) -> None:
    """Callbacks of the frame."""
    # The toggle says when the scheme changed, the attribute which one it is: at first the toggle says light
    # even where the system chose dark.
    app.clientside_callback(  # type: ignore[no-untyped-call]
        """function (_scheme) {
            return document.documentElement.getAttribute("data-mantine-color-scheme") || "light";
        }""",
        Output("scheme", "data"),
        Input("scheme-toggle", "computedColorScheme"),
    )

    @app.callback(Output("workers", "children"), Input("workers-tick", "n_intervals"), State("workers", "children"))
    async def workers(_ticks: int | None, shown: str | None) -> str:
        alive = await to_thread.run_sync(insight.workers_alive, context.database)
        text = f"{alive} worker" if alive == 1 else f"{alive} workers"
        if text == shown:
            raise PreventUpdate
        return text


def _header() -> html.Div:
    return html.Div(
        className="top-inner",
        children=[
            dcc.Link(
                href="/",
                className="brand",
                children=[html.Span(className="brand-mark", **aria(hidden="true")), "Rectuner"],
            ),
            html.Nav(
                className="nav",
                children=[
                    dcc.Link("Studies", href="/", className="nav-link"),
                    dcc.Link("Launch", href="/launch", className="nav-link"),
                    html.A("API", href="/docs", className="nav-link"),
                ],
            ),
            html.Div(className="grow"),
            html.Span(id="workers", className="workers", title="Workers heard of within their lease"),
            dmc.ColorSchemeToggle(
                id="scheme-toggle",
                lightIcon=icon("sun"),
                darkIcon=icon("moon"),
                variant="subtle",
                color="gray",
                size="md",
                **aria(label="Switch between light and dark"),
            ),
        ],
    )
