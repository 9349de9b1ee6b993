"""``tuner launch``: a study at a service, over REST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tuner.cli.environment import err, out
from tuner.cli.follow import follow
from tuner.cli.outcome import print_outcome
from tuner.cli.requests import ConfigFiles, ParamsFile, Request, assemble_request, takes_fields, tell
from tuner.store import StudyState

if TYPE_CHECKING:
    from tuner.client import Client

Url = Annotated[str, typer.Option("--url", envvar="TUNER_URL", help="Address of the service.", show_default=True)]
DEFAULT_URL = "http://127.0.0.1:8000"


@takes_fields
def launch_study(
    context: typer.Context,
    fields: Mapping[str, str],
    params_file: ParamsFile = None,
    config_files: ConfigFiles = None,
    url: Url = DEFAULT_URL,
    follow_it: Annotated[bool, typer.Option("--follow", help="Show the study until it ends.")] = False,
) -> None:
    """Launch a study at a service; files are read here, the training happens there.

    Ctrl-C ends the view, not the study.
    """
    from tuner.client import Client

    asked = assemble_request(Request(context.args, params_file, config_files, fields))
    with Client(url) as client:
        created = client.create_study(asked.specification)
        tell(note for note in created.warnings if note not in asked.notes)
        out.print(f"Study {created.name}: {created.max_trials} trials at {url}", soft_wrap=True)
        if follow_it:
            watch(client, created.name)


def watch(client: Client, name: str) -> None:
    """Show a study until it rests, then how it ended; exits with 1 when it is not completed."""
    try:
        last = follow(client.watch(name))
    except KeyboardInterrupt:
        err.print(escape(f"{name} goes on at {client.url}."), soft_wrap=True)
        raise typer.Exit(130) from None
    print_outcome(last.study)
    if last.study.state != StudyState.COMPLETED:
        raise typer.Exit(1)
