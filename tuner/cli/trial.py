"""``tuner trial``: the trials of a study."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from model.literals import parse_literal
from model.registry import get_model
from tuner import insight
from tuner.cli.environment import check_writable, err, open_database, out, read_settings
from tuner.cli.follow import duration, values
from tuner.cli.json_output import AsJson, to_json
from tuner.cli.results import show_configuration
from tuner.errors import SettingsError, SpaceError
from tuner.insight.summaries import TrialDetail, TrialSummary
from tuner.store import TrialState

app = typer.Typer(no_args_is_help=True, help="Trials of a study: list, look at, draw, run again.")
app.command("config")(show_configuration)

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
        page = insight.list_trials(database, study, state=state, order=order, limit=limit, offset=offset)
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
        trial = insight.get_trial(database, study, number)
    if as_json:
        typer.echo(to_json(dataclasses.asdict(trial)))
        return
    out.print(escape(" ".join(filter(None, _row(trial)))), soft_wrap=True)
    if trial.progress is not None and trial.progress.note:
        out.print(escape(trial.progress.note), soft_wrap=True)
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
    from tuner.engine.studies import additions

    with open_database(read_settings()) as database:
        additions.retry_trial(database, study, number)
    out.print(f"The parameters of trial {number} will be run again.")


@app.command("enqueue")
def enqueue_trial(
    study: Study,
    assignments: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE...", help="A value for every searched parameter.")
    ],
) -> None:
    """Run a trial with these values before the others; the study's budget grows by one."""
    from tuner.engine.studies import additions

    given = {}
    for assignment in assignments:
        key, equals, value = assignment.removeprefix("--").partition("=")
        if not equals:
            raise SpaceError(f"{assignment} has no value.", f"Write {assignment}=VALUE.")
        given[key] = parse_literal(value)
    with open_database(read_settings()) as database:
        additions.enqueue(database, study, given)
    out.print(escape(f"A trial with {values(given)} is the next one."), soft_wrap=True)


@app.command("export")
def export_trial(
    study: Study,
    number: Annotated[
        int | None, typer.Argument(metavar="[NUMBER]", min=0, help="The trial's number. Default: the best trial.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write. Default: STUDY-trial-NUMBER.pth.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a trial's weights, those of its best epoch, as a checkpoint that RecBole loads too."""
    from tuner.engine.files.weights import read_weights

    settings = read_settings()
    with open_database(settings) as database:
        weights = read_weights(database, settings.artifacts, study, number)
    target = output or Path(weights.file_name)
    _refuse_to_overwrite(target, force)
    weights.save(target)
    so_far = "" if weights.ended else ", the best so far: the trial has not ended"
    out.print(
        escape(f"{target}: trial {weights.number} of {weights.study}, weights of epoch {weights.epoch}{so_far}."),
        soft_wrap=True,
    )


@app.command("retrain")
def retrain_trial(
    study: Study,
    number: Number,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write. Default: STUDY-trial-NUMBER.pth.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Train a trial whose weights are not kept again, in this terminal, and write them; its study does not change.

    Exit code 1: they are written, but the results are not those that the study has.
    """
    from tuner.engine.files.weights import weights_name
    from tuner.engine.work.lease import Interrupted
    from tuner.engine.work.retraining import retrain

    settings = read_settings()
    with open_database(settings) as database:
        target = output or Path(weights_name(insight.get_study(database, study).name, number))
        _refuse_to_overwrite(target, force)
        with out.status(f"Trial {number}") as status:

            def show(stage: str, epoch: int, epochs: int, fraction: float) -> None:
                status.update(f"Trial {number}: {stage} epoch {max(epoch - 1, 0) + fraction:.1f}/{epochs}")

            try:
                done = retrain(database, settings, study, number, target, show)
            except Interrupted:
                err.print("Stopped; no file was written. The same command goes on from the last epoch.")
                raise typer.Exit(130) from None
    out.print(escape(f"{target}: trial {number}, weights of epoch {done.epoch}."), soft_wrap=True)
    if done.test_result:
        out.print(f"test: {values(done.test_result)}", soft_wrap=True)
    if not done.same:
        err.print(
            f"The study has {done.recorded}, this is {done.value}: it was run with other data, versions, threads or "
            "another processor.",
            soft_wrap=True,
        )
        raise typer.Exit(1)


@app.command("picture")
def draw_picture(
    study: Study,
    number: Number,
    user: Annotated[
        str | None, typer.Option("--user", help="The user's id as in the data. Default: the first.")
    ] = None,
    picture: Annotated[
        str | None, typer.Option("--picture", help="Which of the model's pictures. Default: its first.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Item column with names. Default: one called title or name.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("picture.html"),
) -> None:
    """Draw what a trial's model sees in a user, as a page that needs no network."""
    from model.pictures import find_picture, restore, save_html
    from tuner.engine.files.weights import trial_weights

    settings = read_settings()
    with open_database(settings) as database:
        model = insight.get_study(database, study).model
        find_picture(get_model(model), picture)  # before the data is read
        checkpoint = trial_weights(database, settings.artifacts, study, number)
    check_writable(output.absolute().parent, "--output")
    restored = restore(checkpoint, label=label)
    save_html(restored.draw(restored.users()[0] if user is None else user, picture), output)
    out.print(escape(str(output)), soft_wrap=True)


def _refuse_to_overwrite(target: Path, force: bool) -> None:
    if target.exists() and not force:
        raise SettingsError(f"{target}: exists already. Choose another --output, or overwrite it (--force).")
    check_writable(target.absolute().parent, "--output")


def _check_order(order: str) -> None:
    if order.removeprefix("-") not in insight.TRIAL_ORDERS:
        known = ", ".join(insight.TRIAL_ORDERS)
        raise typer.BadParameter(f"{order!r}. Orders: {known}, with - in front for descending.")


def _row(trial: TrialSummary) -> tuple[str, str, str, str, str]:
    return (
        "" if trial.number is None else str(trial.number),
        trial.state,
        "" if trial.value is None else f"{trial.value:.4f}",
        "" if trial.seconds is None else duration(trial.seconds),
        values(trial.params) + (f" ({trial.again})" if trial.again else ""),
    )


def _curves(trial: TrialDetail) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "epoch", "mean loss", "valid score", "seconds"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for point in trial.curves:
        loss = "–" if point.mean_loss is None else f"{point.mean_loss:.4f}"
        score = "" if point.valid_score is None else f"{point.valid_score:.4f}"
        table.add_row(point.stage, str(point.epoch), loss, score, f"{point.seconds:.2f}")
    return table
