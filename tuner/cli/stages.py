"""Shared stages as a table."""

from __future__ import annotations

import dataclasses

import typer
from rich.filesize import decimal
from rich.table import Table

from tuner.cli.environment import out
from tuner.cli.follow import duration
from tuner.cli.json_output import to_json
from tuner.insight.summaries import Page, StageSummary


def print_stages(page: Page[StageSummary], *, as_json: bool) -> None:
    """The page's stages, a line each, and where the next page begins."""
    if as_json:
        typer.echo(to_json([dataclasses.asdict(stage) for stage in page.items]))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    table.add_column("of", overflow="fold")
    for column in ("epochs", "time", "trials"):
        table.add_column(column, justify="right")
    table.add_column("kept", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("last used", no_wrap=True)
    for stage in page.items:
        table.add_row(*_cells(stage))
    out.print(table)
    if page.total > page.offset + len(page.items):
        out.print(f"{len(page.items)} of {page.total}; more with --offset {page.offset + len(page.items)}.")


def _cells(stage: StageSummary) -> tuple[str, ...]:
    used = "in use" if stage.in_use else f"{stage.used_at:%m-%d %H:%M}"
    epochs = str(stage.epochs) if stage.target is None else f"{stage.epochs} of {stage.target}"
    return (
        stage.key[:7],
        f"{stage.model} {stage.stage} on {stage.dataset}",
        f"{epochs}, {stage.repeated} again" if stage.repeated else epochs,
        duration(stage.seconds),
        str(stage.trials_total),
        ", ".join(str(checkpoint.epoch) for checkpoint in stage.checkpoints),
        decimal(stage.size) if stage.size else "",
        used,
    )
