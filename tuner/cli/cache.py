"""``tuner cache``: the checkpoints that later trials and studies go on from, and the folder that they are in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape

from tuner.cli.environment import check_writable, open_database, out, read_settings
from tuner.cli.json_output import AsJson, to_json
from tuner.cli.stages import print_stages

if TYPE_CHECKING:
    from tuner.engine.files.verification import Verification

app = typer.Typer(no_args_is_help=True, help="Checkpoints of shared pretraining: list, prune, verify.")


@app.command("ls")
def list_cache(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 50,
    offset: Annotated[int, typer.Option("--offset", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """List shared stages, last used first, and what their checkpoints take."""
    from tuner.insight import stages

    settings = read_settings()
    with open_database(settings) as database:
        page = stages.list_stages(database, limit=limit, offset=offset)
        use = stages.cache_use(database)
    print_stages(page, as_json=as_json)
    if not as_json:
        bound = decimal(int(settings.cache_gb * 1e9))
        held = f"{use.checkpoints} checkpoints of shared stages ({use.stages} of them) take {decimal(use.size)}"
        out.print(f"{held} of {bound} (TUNER_CACHE_GB); {decimal(use.evictable)} of it is not in use.", soft_wrap=True)


@app.command("prune")
def prune_cache(
    keep_gb: Annotated[
        float, typer.Option("--keep-gb", min=0, help="Keep this much of what was used last, in GB.")
    ] = 0.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete checkpoints that nobody uses now, least recently used first.

    Results, curves and finished trials stay. A trial that needs such a stage later trains it again.
    """
    from tuner.engine.files.artifact_store import check_store
    from tuner.engine.work.stage_cache import evict
    from tuner.insight import stages

    settings = read_settings()
    with open_database(settings) as database:
        check_store(database, settings.artifacts)
        use = stages.cache_use(database)
        excess = min(use.evictable, use.size - int(keep_gb * 1e9))
        if excess <= 0:
            out.print(f"Nothing to delete: {decimal(use.size)} in all, {decimal(use.evictable)} of it not in use.")
            return
        if not yes:
            question = f"Delete {decimal(excess)} of checkpoints that later trials might go on from?"
            typer.confirm(question, abort=True)
        freed = evict(database, settings.artifacts, keep_gb * 1e9)
    out.print(f"{decimal(freed)} deleted.")


@app.command("verify")
def verify_cache(as_json: AsJson = False) -> None:
    """Look at every checkpoint, of shared stages and of trials; exits with 1 if one is damaged or missing.

    What is damaged is moved to the folder damaged, where the last few are kept, and is trained again when it is needed.
    """
    from tuner.engine.files.artifact_store import check_store
    from tuner.engine.files.verification import verify

    settings = read_settings()
    with open_database(settings) as database:
        check_store(database, settings.artifacts)
        found = verify(database, settings.artifacts)
    if as_json:
        typer.echo(to_json(found))
    else:
        _print(found)
    if found.damaged:
        raise typer.Exit(1)


def _print(found: Verification) -> None:
    for one in found.damaged:
        out.print(escape(f"{one.of}: {one.problem}"), soft_wrap=True)
        if one.moved is not None:
            out.print(escape(f"  It is now {one.moved}."), soft_wrap=True)
    verdict = f"{len(found.damaged)} damaged or missing." if found.damaged else "all are as they were written."
    out.print(f"{found.checkpoints} checkpoints, {decimal(found.size)}: {verdict}")


@app.command("adopt")
def adopt_folder(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Make the artifact folder that is set the database's, because the one it had is lost.

    A folder that was moved needs nothing: its file store-id moves with it. Workers that use another folder have to be
    stopped first. What the folder lacks is trained again when it is needed.
    """
    from tuner.engine.files.artifact_store import adopt_store

    settings = read_settings()
    check_writable(settings.artifacts, "TUNER_ARTIFACT_ROOT or TUNER_HOME")
    with open_database(settings) as database:
        if not yes:
            typer.confirm(f"Use {settings.artifacts} instead of the artifact folder of before?", abort=True)
        adopt_store(database, settings.artifacts)
    out.print(f"{settings.artifacts} is the artifact folder of this database.", soft_wrap=True)
