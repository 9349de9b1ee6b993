"""``tuner run``: a study from beginning to end in this terminal."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tuner import insight
from tuner.cli.environment import check_writable, err, open_database, out, read_settings
from tuner.cli.follow import follow
from tuner.cli.outcome import print_outcome, write_result_file
from tuner.cli.requests import (
    ConfigFiles,
    ParamsFile,
    Request,
    Yes,
    assemble_request,
    require_dataset,
    takes_fields,
    tell,
)
from tuner.cli.serve import WorkersPerGpu
from tuner.errors import SpecificationError, StoreAway, StudyNotFound
from tuner.insight import snapshot
from tuner.insight.snapshot import Snapshot
from tuner.store import StudyState

if TYPE_CHECKING:
    from tuner.engine.studies.draft import Draft
    from tuner.settings import Settings
    from tuner.store import Database

_POLL_SECONDS = 0.5
# What a shell reports for a process that Ctrl-C ended.
_INTERRUPTED = 130


@takes_fields
def run_study(
    context: typer.Context,
    fields: Mapping[str, str],
    params_file: ParamsFile = None,
    config_files: ConfigFiles = None,
    output_file: Annotated[
        Path | None,
        typer.Option("--output_file", "--output-file", help="Write the results here, as RecBole does."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Trials at once. Default: one per GPU or core.")
    ] = None,
    workers_per_gpu: WorkersPerGpu = None,
    yes: Yes = False,
) -> None:
    """Tune a model: a study folder, or --model, --dataset and --params_file as RecBole's run_hyper.py.

    Every other --key=value is configuration. Ctrl-C stops cleanly; the same command goes on.
    """
    from tuner.engine.files.artifact_store import join_store

    assembled = assemble_request(Request(context.args, params_file, config_files, fields))
    specification = assembled.specification
    # Workers would write into the live view; what they have to say is shown from the database.
    settings = read_settings(
        workers=workers or specification.workers, workers_per_gpu=workers_per_gpu, log_level="ERROR"
    )
    require_dataset(specification, yes)
    check_writable(settings.artifacts, "TUNER_ARTIFACT_ROOT or TUNER_HOME")
    if output_file is not None:
        check_writable(output_file.absolute().parent, "--output_file")
    with open_database(settings) as database:
        try:
            join_store(database, settings.artifacts)
        except StoreAway as away:
            err.print(escape(f"{away} The workers wait for it."), soft_wrap=True)
        _create_or_resume(database, settings, assembled)
        last = _run(database, settings, specification.name)
        print_outcome(last.study)
        if output_file is not None:
            write_result_file(database, specification.name, output_file)
            out.print(f"Results: {output_file}", soft_wrap=True)
    if last.study.state != StudyState.COMPLETED:
        raise typer.Exit(1)


def _create_or_resume(database: Database, settings: Settings, assembled: Draft) -> None:
    """Create the study, or go on with the one of the same name if it is the same study."""
    from tuner.assembly import same_study
    from tuner.engine.studies import additions, creation, steering

    specification, name = assembled.specification, assembled.specification.name
    try:
        existing = insight.get_specification(database, name)
    except StudyNotFound:
        created = creation.create(database, settings, assembled)
        tell(created.warnings[len(assembled.notes) :])
        out.print(f"Study {name}: {created.max_trials} trials.", soft_wrap=True)
        return
    if different := same_study(existing, specification):
        raise SpecificationError(
            f"There is a study {name!r} already, with another {' and another '.join(different)}. "
            f"Choose another --name, or delete that study: tuner study delete {name}."
        )
    study = insight.get_study(database, name)
    if specification.max_trials and specification.max_trials > (study.trials_total or 0):
        additions.raise_budget(database, name, specification.max_trials)
    elif study.state in (StudyState.PAUSED, StudyState.STOPPED):
        steering.resume(database, name)
    elif not study.ended:
        out.print(f"Study {name} goes on: {study.trials_done} of {study.trials_total} trials are done.")


def _run(database: Database, settings: Settings, name: str) -> Snapshot:
    """Keep workers and show the study until it rests; on Ctrl-C, stop the workers and exit."""
    from tuner.engine.fleet.supervisor import Supervisor

    first = snapshot.take(database, name)
    if first.rests:
        return first
    supervisor = Supervisor(settings)
    with _interruptible() as interruption:
        supervisor.start()
        try:
            last = follow(_snapshots(database, name, interruption))
        except KeyboardInterrupt:
            err.print("Stopping: running trials finish their epoch. Ctrl-C again ends at once.")
            supervisor.stop()
            err.print(
                escape(f"{name} is not finished. The same command goes on with it, and so does tuner serve."),
                soft_wrap=True,
            )
            raise typer.Exit(_INTERRUPTED) from None
        supervisor.stop()
    return last


@dataclass
class _Interruption:
    """Whether somebody asked to stop."""

    asked: bool = False


def _snapshots(database: Database, name: str, interruption: _Interruption) -> Iterator[Snapshot]:
    while True:
        current = snapshot.take(database, name)
        yield current
        if current.rests:
            return
        if not interruption.asked:
            time.sleep(_POLL_SECONDS)
        if interruption.asked:
            raise KeyboardInterrupt


@contextmanager
def _interruptible() -> Iterator[_Interruption]:
    """Ctrl-C, or SIGTERM, is noted and acted on between two snapshots; the second one ends the process at once.

    An exception that is raised wherever the program happens to be may hit the end of a transaction, which answers with
    an error of its own.
    """
    interruption = _Interruption()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if interruption.asked:
            # Workers notice that this process is gone; their trials are resumed from the last checkpoint.
            os._exit(_INTERRUPTED)
        interruption.asked = True

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
