"""``tuner doctor``: is this machine ready, and if not, what to do."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from tuner.cli.environment import check_writable, open_database, out, read_settings
from tuner.errors import SettingsError, TunerError

if TYPE_CHECKING:
    from tuner.settings import Settings

# A study with a shared pretraining leaves about a hundred checkpoints of a few megabytes.
_ENOUGH_BYTES = 2_000_000_000


def examine() -> None:
    """Check the database, the folders, torch, the processors and the data sets; exits with 1 if one fails."""
    settings = read_settings()
    checks: tuple[tuple[str, Callable[[Settings], str]], ...] = (
        ("database", _database),
        ("artifacts", _artifacts),
        ("data sets", _datasets),
        ("torch", _torch),
        ("processors", _processors),
    )
    failed = False
    for name, check in checks:
        try:
            finding, mark = check(settings), "[green]ok[/]  "
        except TunerError as error:
            finding, mark, failed = str(error), "[red]fail[/]", True
        out.print(f"{mark} {name}: {escape(finding)}", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _database(settings: Settings) -> str:
    from tuner.insight import installation

    with open_database(settings) as database:
        health = installation.health(database)
        studies = ", ".join(f"{count} {state}" for state, count in health.studies.items()) or "no studies"
        place = database.url.render_as_string(hide_password=True)
    return f"{place}; {studies}; {health.workers_alive} workers alive"


def _artifacts(settings: Settings) -> str:
    from tuner.engine.files.artifact_store import check_store

    check_writable(settings.artifacts, "TUNER_ARTIFACT_ROOT or TUNER_HOME")
    with open_database(settings) as database:
        check_store(database, settings.artifacts)
    free = shutil.disk_usage(settings.artifacts).free
    if free < _ENOUGH_BYTES:
        raise SettingsError(
            f"{settings.artifacts} has {free / 1e9:.1f} GB left. Free some space, or set TUNER_ARTIFACT_ROOT."
        )
    return f"{settings.artifacts}; {free / 1e9:.0f} GB free, of which the cache takes {settings.cache_gb:g} at most"


def _datasets(_settings: Settings) -> str:
    from tuner.insight import installation

    at_hand = [dataset.name for dataset in installation.list_datasets(Path("dataset")) if dataset.folder]
    return ", ".join(at_hand) if at_hand else "none at hand yet; get one: tuner data get ml-100k"


def _torch(_settings: Settings) -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.__version__} on {torch.cuda.get_device_name(0)}"
    return f"{torch.__version__} on the CPU ({platform.machine()})"


def _processors(settings: Settings) -> str:
    from tuner.engine.fleet.machine import cores, own_gpus, workers_wanted

    available = own_gpus()
    workers = workers_wanted(settings, available)
    return f"{cores()} cores, {len(available)} GPUs; {workers} workers of {settings.worker_threads} threads each"
