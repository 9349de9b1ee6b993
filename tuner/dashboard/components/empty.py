"""What is shown where there is nothing to show."""

from __future__ import annotations

from dash import dcc, html


def message(text: str, link: str, href: str) -> html.Div:
    """One sentence and the way on."""
    return html.Div(className="empty", children=[html.P(text), dcc.Link(link, href=href, className="button")])


def commands(title: str, text: str, lines: list[str]) -> html.Div:
    """An invitation with commands to copy."""
    return html.Div(
        className="empty",
        children=[
            html.H2(title),
            html.P(text),
            html.Div(
                className="terminal",
                children=[
                    html.Div(
                        className="terminal-line",
                        children=[
                            html.Code(line, id={"type": "command", "index": place}),
                            dcc.Clipboard(content=line, className="copy", title="Copy"),
                        ],
                    )
                    for place, line in enumerate(lines)
                ],
            ),
        ],
    )
