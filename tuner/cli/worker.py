"""``tuner worker``: one worker in this process, on any machine."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from tuner.cli.environment import check_writable, read_settings


def work(
    study: Annotated[str | None, typer.Option("--study", help="Work on this study only.")] = None,
    exit_when_idle: Annotated[
        bool, typer.Option("--exit_when_idle", "--exit-when-idle", help="End when there is no work left.")
    ] = False,
) -> None:
    """Run trials of the studies in the database until Ctrl-C, which finishes the epoch first."""
    from tuner.engine.work.entry import run_worker

    settings = read_settings()
    check_writable(settings.artifacts, "TUNER_ARTIFACT_ROOT or TUNER_HOME")
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run_worker(settings, study=study, exit_when_idle=exit_when_idle)
