"""``tuner events`` and ``tuner study events``: what happened, a line each."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.markup import escape

from tuner.cli.environment import open_database, out, read_settings
from tuner.cli.json_output import AsJson, to_json
from tuner.insight.summaries import EventSummary


def _known(kind: str | None) -> str | None:
    if kind is None:
        return None
    from tuner.insight.events import KINDS

    if kind not in KINDS:
        raise typer.BadParameter(f"There is no kind of event {kind!r}. Kinds: {', '.join(KINDS)}.")
    return kind


Kind = Annotated[str | None, typer.Option("--kind", callback=_known, metavar="KIND", help="Only of this kind.")]
After = Annotated[int | None, typer.Option("--after", min=0, help="Events after this id, the oldest first.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000)]
Offset = Annotated[int, typer.Option("--offset", min=0)]


def show_events(
    kind: Kind = None, after: After = None, limit: Limit = 50, offset: Offset = 0, as_json: AsJson = False
) -> None:
    """Say what happened to all studies and workers, the newest first."""
    _print(None, kind, after, limit, offset, as_json=as_json)


def show_study_events(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A study's name or id.")],
    kind: Kind = None,
    after: After = None,
    limit: Limit = 50,
    offset: Offset = 0,
    as_json: AsJson = False,
) -> None:
    """Say what happened to a study, the newest first: losses, retries, pauses and their reasons."""
    _print(name, kind, after, limit, offset, as_json=as_json)


def _print(name: str | None, kind: str | None, after: int | None, limit: int, offset: int, *, as_json: bool) -> None:
    from tuner.insight.events import list_events

    with open_database(read_settings()) as database:
        page = list_events(database, name, kind=kind, after=after, limit=limit, offset=offset)
    if as_json:
        typer.echo(to_json([dataclasses.asdict(event) for event in page.items]))
        return
    for event in page.items:
        out.print(_line(event, name is None), soft_wrap=True)
    if page.total > page.offset + len(page.items):
        out.print(f"{len(page.items)} of {page.total}; more with --offset {page.offset + len(page.items)}.")


def _line(event: EventSummary, of_all: bool) -> str:
    study = event.study if of_all else None
    about = " ".join(filter(None, (study, None if event.trial is None else f"trial {event.trial}")))
    start = f"{event.at.astimezone():%Y-%m-%d %H:%M:%S}  [bold]{event.kind}[/]"
    return f"{start}  {escape(f'{about}: {event.message}' if about else event.message)}"
