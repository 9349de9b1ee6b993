"""``tuner trial``: the trials of a study."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tuner.cli.environment import open_database, out, read_settings
from tuner.cli.follow import duration, values
from tuner.cli.study import AsJson, to_json
from tuner.engine import study as engine
from tuner.insight import reports
from tuner.insight.summaries import TrialDetail, TrialSummary
from tuner.store import TrialState

app = typer.Typer(no_args_is_help=True, help="Trials of a study: list, look at, run again.")

Study = Annotated[str, typer.Argument(metavar="STUDY", help="A study's name or id.")]
Number = Annotated[int, typer.Argument(metavar="NUMBER", min=0, help="The trial's number.")]


@app.command("ls")
def list_trials(
    study: Study,
    state: Annotated[TrialState | None, typer.Option("--state", help="Only those in this state.")] = None,
    order: Annotated[
        str, typer.Option("--order", help="number, value, ended_at, ...; -value: largest first.")
    ] = "number",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 100,
    offset: Annotated[int, typer.Option("--offset", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """List the trials of a study."""
    _check_order(order)
    with open_database(read_settings()) as database:
        page = reports.list_trials(database, study, state=state, order=order, limit=limit, offset=offset)
    if as_json:
        typer.echo(to_json([dataclasses.asdict(trial) for trial in page.items]))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("trial", "state", "value", "time", "parameters"):
        table.add_column(column, overflow="fold")
    for trial in page.items:
        table.add_row(*_row(trial))
    out.print(table)
    if page.total > len(page.items):
        out.print(f"{len(page.items)} of {page.total}; more with --offset {offset + len(page.items)}.")


@app.command("show")
def show_trial(study: Study, number: Number, as_json: AsJson = False) -> None:
    """Show one trial with its results, error and epochs."""
    with open_database(read_settings()) as database:
        trial = reports.get_trial(database, study, number)
    if as_json:
        typer.echo(to_json(dataclasses.asdict(trial)))
        return
    out.print(escape(" ".join(filter(None, _row(trial)))), soft_wrap=True)
    for label, result in (("valid", trial.valid_result), ("test", trial.test_result)):
        if result:
            out.print(f"{label}: {values(result)}", soft_wrap=True)
    if trial.error is not None:
        out.print(escape(f"{trial.error.type}: {trial.error.message}\n{trial.error.traceback}"), soft_wrap=True)
    if trial.curves:
        out.print(_curves(trial))


@app.command("retry")
def retry_trial(study: Study, number: Number) -> None:
    """Run a failed trial's parameters again, as a new trial."""
    with open_database(read_settings()) as database:
        engine.retry_trial(database, study, number)
    out.print(f"The parameters of trial {number} will be run again.")


def _check_order(order: str) -> None:
    if order.removeprefix("-") not in reports.TRIAL_ORDERS:
        known = ", ".join(reports.TRIAL_ORDERS)
        raise typer.BadParameter(f"{order!r}. Orders: {known}, with - in front for descending.")


def _row(trial: TrialSummary) -> tuple[str, str, str, str, str]:
    return (
        "" if trial.number is None else str(trial.number),
        trial.state,
        "" if trial.value is None else f"{trial.value:.4f}",
        "" if trial.seconds is None else duration(trial.seconds),
        values(trial.params),
    )


def _curves(trial: TrialDetail) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "epoch", "loss", "valid score", "seconds"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for point in trial.curves:
        loss = "" if point.loss is None else f"{point.loss:.4f}"
        score = "" if point.valid_score is None else f"{point.valid_score:.4f}"
        table.add_row(point.stage, str(point.epoch), loss, score, f"{point.seconds:.2f}")
    return table
