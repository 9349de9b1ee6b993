"""``tuner study``: the studies of this installation's database."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tuner import insight
from tuner.cli.environment import open_database, out, read_settings
from tuner.cli.events import show_study_events
from tuner.cli.follow import values
from tuner.cli.json_output import AsJson, to_json
from tuner.cli.outcome import print_outcome
from tuner.cli.results import export_trials, show_best
from tuner.cli.stages import print_stages
from tuner.insight.summaries import Importances
from tuner.store import StudyState

if TYPE_CHECKING:
    from tuner.store import Database

app = typer.Typer(no_args_is_help=True, help="Studies: list, look at, steer.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A study's name or id.")]


@app.command("ls")
def list_studies(
    state: Annotated[StudyState | None, typer.Option("--state", help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 50,
    offset: Annotated[int, typer.Option("--offset", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """List studies, newest first."""
    with open_database(read_settings()) as database:
        page = insight.list_studies(database, state=state, limit=limit, offset=offset)
    if as_json:
        typer.echo(to_json([dataclasses.asdict(study) for study in page.items]))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("id", "name", "state", "trials", "best", "model", "dataset"):
        table.add_column(column, overflow="fold")
    for study in page.items:
        best = "" if study.best_value is None else f"{study.metric} {study.best_value:.4f}"
        done = f"{study.trials_done}/{study.trials_total}"
        done += f" ({study.exceptions})" if study.exceptions else ""
        table.add_row(str(study.id), study.name, study.state, done, best, study.model, study.dataset)
    out.print(table)
    if page.total > len(page.items):
        out.print(f"{len(page.items)} of {page.total}; more with --offset {offset + len(page.items)}.")


@app.command("show")
def show_study(name: Name, as_json: AsJson = False) -> None:
    """Show one study: state, progress, best trial, importances."""
    with open_database(read_settings()) as database:
        study = insight.get_study(database, name)
        found = None if as_json else _find_importances(database, name)
    if as_json:
        typer.echo(to_json(dataclasses.asdict(study)))
        return
    out.print(escape(f"{study.model} on {study.dataset}, {study.sampler}, {study.direction} {study.objective}"))
    out.print(f"Weights kept {study.weights.sentence}.")
    print_outcome(study)
    if found is not None:
        out.print(escape(f"Importance: {_importances(found)}"), soft_wrap=True)


def _find_importances(database: Database, name: str) -> Importances:
    from tuner.insight import evidence

    if (reason := evidence.lacking(database, name)) is not None:
        return reason
    from tuner.insight.importance import importances  # here, because it stands on Optuna

    return importances(database, name)


def _importances(found: Importances) -> str:
    """Shares with their ranges, how they were found, and from how many trials; or why there are none."""
    if found.reason is not None:
        return found.reason
    parts = []
    for effect in found.effects:
        spread = "" if effect.low is None else f" ({effect.low:.1%} to {effect.high:.1%})"
        parts.append(f"{effect.label} {effect.share:.1%}{spread}")
    if found.rest is not None:
        parts.append(f"the rest {found.rest:.1%}")
    return f"{', '.join(parts)}. Method: {found.method}."


@app.command("stages")
def show_stages(
    name: Name,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 50,
    offset: Annotated[int, typer.Option("--offset", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """List the stages that the study's trials share, those with the most trials first."""
    from tuner.insight import stages

    with open_database(read_settings()) as database:
        page = stages.list_stages(database, name, limit=limit, offset=offset)
    print_stages(page, as_json=as_json)


app.command("events")(show_study_events)
app.command("best")(show_best)
app.command("export")(export_trials)


@app.command("pause")
def pause_study(name: Name) -> None:
    """Start no new trials; running ones go on."""
    from tuner.engine.studies import steering

    with open_database(read_settings()) as database:
        steering.pause(database, name)
        _tell(database, name)


@app.command("resume")
def resume_study(name: Name) -> None:
    """Go on with a paused or stopped study (workers: tuner serve, tuner worker)."""
    from tuner.engine.studies import steering

    with open_database(read_settings()) as database:
        steering.resume(database, name)
        _tell(database, name)


@app.command("stop")
def stop_study(name: Name) -> None:
    """Finish what runs, then end."""
    from tuner.engine.studies import steering

    with open_database(read_settings()) as database:
        steering.stop(database, name)
        _tell(database, name)


@app.command("cancel")
def cancel_study(name: Name) -> None:
    """End at once; running trials are abandoned."""
    from tuner.engine.studies import steering

    with open_database(read_settings()) as database:
        steering.cancel(database, name)
        _tell(database, name)


@app.command("delete")
def delete_study(name: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Delete a study that has ended, with its trials and files."""
    from tuner.engine.studies import steering

    settings = read_settings()
    with open_database(settings) as database:
        study = insight.get_study(database, name)
        if not yes:
            typer.confirm(f"Delete {study.name} with {study.trials_done} finished trials?", abort=True)
        steering.delete_study(database, settings, name)
    out.print(escape(f"{study.name} is deleted."))


@app.command("budget")
def raise_budget(name: Name, max_trials: Annotated[int, typer.Argument(min=1, help="Trials in all.")]) -> None:
    """Let a study run more trials; one that had ended goes on."""
    from tuner.engine.studies import additions

    with open_database(read_settings()) as database:
        additions.raise_budget(database, name, max_trials)
        _tell(database, name)


@app.command("replay")
def replay_study(name: Name, as_json: AsJson = False) -> None:
    """Ask the sampler again, and say for which trials it would choose otherwise (exit code 1)."""
    from tuner.engine.search.replay import replay

    with open_database(read_settings()) as database:
        found = replay(database, name)
    if as_json:
        typer.echo(to_json(found))
    else:
        same = found.asks - len(found.differences)
        out.print(escape(f"{found.study}: {same} of {found.asks} trials that were asked for get the same parameters."))
        for other in found.differences:
            line = f"trial {other.trial} tried {values(other.tried)}; asked again: {values(other.asked_again)}"
            out.print(escape(line), soft_wrap=True)
    if found.differences:
        raise typer.Exit(1)


def _tell(database: Database, name: str) -> None:
    """Say what the study does now."""
    study = insight.get_study(database, name)
    reason = f" ({study.reason})" if study.reason else ""
    out.print(escape(f"{study.name} is {study.state}{reason}."))
