"""``tuner token``: who is let in by the service."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from tuner.cli.environment import err, open_database, out, read_settings
from tuner.cli.json_output import AsJson, to_json
from tuner.store.states import Scope

app = typer.Typer(no_args_is_help=True, help="Tokens that the service asks for: create, list, revoke.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose it is, or what for.")]


@app.command("create")
def create_token(
    name: Name,
    scope: Annotated[Scope, typer.Option("--scope", help="read: look only; write: launch and steer.")] = Scope.WRITE,
) -> None:
    """Create a token and print it; it can't be shown again."""
    from tuner.store import tokens

    with open_database(read_settings()) as database:
        secret = tokens.create_token(database, name, scope)
    typer.echo(secret)
    err.print(
        "Keep it: it is not shown again. Programs find it in TUNER_TOKEN; a browser asks for it. "
        "From now on the service asks everybody for a token (TUNER_AUTH).",
        soft_wrap=True,
    )


@app.command("ls")
def list_tokens(as_json: AsJson = False) -> None:
    """List tokens, newest first, with their last use."""
    from tuner.store import tokens

    with open_database(read_settings()) as database:
        found = tokens.list_tokens(database)
    if as_json:
        typer.echo(to_json([dataclasses.asdict(token) for token in found]))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("token", overflow="fold")
    for column in ("scope", "created", "last used", "revoked"):
        table.add_column(column, no_wrap=True)
    for token in found:
        times = (_time(at) for at in (token.created_at, token.used_at, token.revoked_at))
        table.add_row(escape(token.name), token.scope, *times)
    out.print(table)


@app.command("revoke")
def revoke_token(name: Name) -> None:
    """Let nobody in with this token any more, browsers that logged in with it included."""
    from tuner.store import tokens

    with open_database(read_settings()) as database:
        tokens.revoke_token(database, name)
    out.print(escape(f"{name} is revoked."), soft_wrap=True)


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"
