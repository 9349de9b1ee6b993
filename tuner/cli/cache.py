"""``tuner cache``: the checkpoints of shared stages, which later trials and studies go on from."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.filesize import decimal

from tuner.cli.environment import open_database, out, read_settings
from tuner.cli.json_output import AsJson
from tuner.cli.stages import print_stages
from tuner.engine.stage_cache import evict
from tuner.insight import stages

app = typer.Typer(no_args_is_help=True, help="Checkpoints of shared pretraining: list, prune.")


@app.command("ls")
def list_cache(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000)] = 50,
    offset: Annotated[int, typer.Option("--offset", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """List shared stages, last used first, and what their checkpoints take."""
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
    settings = read_settings()
    with open_database(settings) as database:
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
