"""The command ``tuner``.

Exit codes: 0 done; 1 a study did not complete, or an error nobody foresaw (with its traceback); 2 bad input,
settings or command line, with a message on standard error; 130 Ctrl-C.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.markup import escape

from model.errors import ModelError
from tuner.cli import cache, checkpoint, data, study, token, trial
from tuner.cli.demo import demo
from tuner.cli.doctor import examine
from tuner.cli.environment import err
from tuner.cli.events import show_events
from tuner.cli.launch import launch_study
from tuner.cli.models import show_models
from tuner.cli.requests import EPILOG, TOLERANT, USAGE
from tuner.cli.run import run_study
from tuner.cli.serve import serve
from tuner.cli.space import show_space
from tuner.cli.worker import work
from tuner.errors import TunerError

app = typer.Typer(
    name="tuner",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Hyperparameter studies of sequential recommenders.",
)
app.command("run", context_settings=TOLERANT, options_metavar=USAGE, epilog=EPILOG)(run_study)
app.command("launch", context_settings=TOLERANT, options_metavar=USAGE, epilog=EPILOG)(launch_study)
app.command("serve")(serve)
app.command("worker")(work)
app.command("space", context_settings=TOLERANT)(show_space)
app.command("models")(show_models)
app.command("events")(show_events)
app.add_typer(data.app, name="data")
app.add_typer(study.app, name="study")
app.add_typer(trial.app, name="trial")
app.add_typer(checkpoint.app, name="checkpoint")
app.add_typer(token.app, name="token")
app.add_typer(cache.app, name="cache")
app.command("doctor")(examine)
app.command("demo")(demo)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tuner {version('rectuner')}")
        raise typer.Exit


@app.callback()
def _common(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; what people can mend is a message and exit code 2."""
    try:
        app(arguments)
    except (TunerError, ModelError) as error:
        _fail(str(error))
    except Exception as error:
        from sqlalchemy.exc import DBAPIError  # here, because most commands open no database

        if not isinstance(error, DBAPIError):
            raise
        _fail(f"The database can't be used: {error.orig}. Check TUNER_DATABASE_URL or TUNER_HOME.")


def _fail(message: str) -> None:
    err.print(f"[red]Error:[/] {escape(message)}", soft_wrap=True)
    sys.exit(2)
