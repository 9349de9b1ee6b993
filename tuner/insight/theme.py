"""How figures look: one light and one dark template, the colors by meaning, and figures without data."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

FONT = (
    'Inter, -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Helvetica Neue", '
    '"Liberation Sans", Arial, sans-serif'
)


@dataclass(frozen=True)
class Theme:
    """Colors by what they mean; ``series`` tells lines apart where none is more important."""

    text: str
    muted: str
    grid: str
    accent: str
    faint: str
    running: str
    baseline: str
    hover: str
    series: tuple[str, ...]

    @property
    def template(self) -> go.layout.Template:
        axis = {
            "gridcolor": self.grid,
            "linecolor": self.grid,
            "zeroline": False,
            "ticks": "",
            "automargin": True,
            "title": {"font": {"size": 12, "color": self.muted}, "standoff": 8},
            "tickfont": {"size": 11, "color": self.muted},
        }
        return go.layout.Template(
            layout={
                "font": {"family": FONT, "size": 12, "color": self.text},
                "paper_bgcolor": "rgba(0,0,0,0)",
                "plot_bgcolor": "rgba(0,0,0,0)",
                "colorway": list(self.series),
                "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
                "xaxis": axis | {"showgrid": False},
                "yaxis": axis,
                "legend": {
                    "orientation": "h",
                    "y": 1.02,
                    "yanchor": "bottom",
                    "x": 0,
                    "font": {"size": 11, "color": self.muted},
                    "bgcolor": "rgba(0,0,0,0)",
                },
                "hoverlabel": {
                    "bgcolor": self.hover,
                    "bordercolor": self.grid,
                    "font": {"family": FONT, "size": 12, "color": self.text},
                },
                "hovermode": "closest",
            }
        )


THEMES: dict[str, Theme] = {
    "light": Theme(
        text="#1f2430",
        muted="#6b7280",
        grid="#e8eaee",
        accent="#3b5bdb",
        faint="#c3cad6",
        running="#0ca678",
        baseline="#e8590c",
        hover="#ffffff",
        series=("#3b5bdb", "#0ca678", "#e8590c", "#9c36b5", "#1098ad", "#e03131", "#f08c00", "#495057"),
    ),
    "dark": Theme(
        text="#e4e7ec",
        muted="#939bab",
        grid="#2b303b",
        accent="#8da2fb",
        faint="#5c677c",
        running="#38d9a9",
        baseline="#ffa94d",
        hover="#1f232c",
        series=("#8da2fb", "#38d9a9", "#ffa94d", "#da77f2", "#66d9e8", "#ff8787", "#ffd43b", "#adb5bd"),
    ),
}


def empty_figure(look: Theme, x_title: str | None, y_title: str | None, revision: str | int) -> go.Figure:
    """A figure with titles for its axes. The same ``revision`` keeps the reader's zoom when data is exchanged."""
    figure = go.Figure()
    figure.update_layout(template=look.template, uirevision=str(revision))
    figure.update_xaxes(title={"text": x_title})
    figure.update_yaxes(title={"text": y_title})
    return figure


def note(figure: go.Figure, look: Theme, text: str) -> go.Figure:
    """An empty figure that says why it is empty."""
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    figure.add_annotation(
        text=text,
        x=0.5,
        y=0.5,
        xref="paper",
        yref="paper",
        showarrow=False,
        font={"color": look.muted, "size": 13},
    )
    return figure
