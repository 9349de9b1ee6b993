"""``tuner demo``: data, service, a study over REST, its results; what ``make demo`` runs."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from model.registry import BASELINE
from tuner.cli.environment import check_writable, err, open_database, out, read_settings
from tuner.cli.follow import follow
from tuner.cli.outcome import beats_baseline, print_outcome
from tuner.cli.requests import require_dataset
from tuner.cli.serve import Port, Workers
from tuner.errors import SpecificationError
from tuner.store import StudyState
from tuner.store.states import Scope

if TYPE_CHECKING:
    from tuner.client import Client
    from tuner.insight.summaries import StudySummary
    from tuner.settings import Settings
    from tuner.specification import StudySpecification

_FOLDER = Path("studies/quickstart")
_NOT_FOUND, _INTERRUPTED = 404, 130


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="The study folder to launch.")] = _FOLDER,
    port: Port = None,
    workers: Workers = None,
    exit_when_done: Annotated[
        bool,
        typer.Option("--exit", help=f"End when the study ends: with 0 if its best beats {BASELINE} by NDCG@10."),
    ] = False,
) -> None:
    """Fetch the data, start the service, launch a study over REST, follow it, and keep serving.

    Run again, it shows the finished study, or goes on with the unfinished one.
    """
    from tuner.access import check_start, needs_token
    from tuner.cli.server import address, bind, serving
    from tuner.client import Client

    # What the service logs would break the live view.
    settings = read_settings(port=port, workers=workers, log_level="ERROR")
    specification = _read(folder)
    check_writable(settings.artifacts, "TUNER_ARTIFACT_ROOT or TUNER_HOME")
    with open_database(settings) as database:
        check_start(settings, database)
        asks = needs_token(settings, database)
    with bind(settings) as listener:
        require_dataset(specification, fetch_it=True)
        url = address(settings, listener)
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            with serving(settings, listener), _token(settings, asks) as token, Client(url, token=token) as client:
                out.print(f"Rectuner is at {url}", soft_wrap=True)
                succeeded = _show(client, specification)
                if not exit_when_done:
                    _keep_serving(url)
        except KeyboardInterrupt:
            err.print("Stopped. The same command shows the study again, or goes on with it.")
            raise typer.Exit(_INTERRUPTED) from None
    if exit_when_done and not succeeded:
        raise typer.Exit(1)


@contextmanager
def _token(settings: Settings, asks: bool) -> Iterator[str | None]:
    """A token for as long as the demonstration lasts, where the service asks for one."""
    if not asks:
        yield None
        return
    from tuner.store import tokens

    name = f"demo-{secrets.token_hex(4)}"
    with open_database(settings) as database:
        try:
            yield tokens.create_token(database, name, Scope.WRITE)
        finally:
            tokens.delete_token(database, name)


def _read(folder: Path) -> StudySpecification:
    if folder == _FOLDER and not folder.is_dir():
        raise SpecificationError(
            f"There is no {folder} here. Go to the folder that Rectuner was cloned into, or give --folder."
        )
    from tuner.folder import read_study

    return read_study(folder).specification


def _show(client: Client, specification: StudySpecification) -> bool:
    """Launch or find the study and follow it; whether it was completed and beats the baseline."""
    _launch(client, specification)
    last = follow(client.watch(specification.name)).study
    print_outcome(last)
    if last.state != StudyState.COMPLETED:
        return False
    beats = beats_baseline(last)
    out.print(_verdict(last, beats), soft_wrap=True)
    return beats


def _launch(client: Client, specification: StudySpecification) -> None:
    from tuner.assembly import same_study
    from tuner.client import ApiError

    name = specification.name
    try:
        existing = client.get_specification(name)
    except ApiError as error:
        if error.status != _NOT_FOUND:
            raise
        created = client.create_study(specification)
        out.print(f"Launched the study {name} over REST: {created.max_trials} trials.", soft_wrap=True)
        return
    if different := same_study(existing, specification):
        raise SpecificationError(
            f"There is a study {name!r} already, with another {' and another '.join(different)}. "
            f"Delete it (tuner study delete {name}), or set TUNER_HOME to an empty folder."
        )
    study = client.get_study(name)
    if study.state in (StudyState.PAUSED, StudyState.STOPPED):
        study = client.act(name, "resume")
    what = "is here already; this is how it ended" if study.ended else "is here already and goes on"
    out.print(escape(f"The study {name} {what}."), soft_wrap=True)


def _verdict(study: StudySummary, beats: bool) -> str:
    best = (study.best_test_result or {}).get("ndcg@10")
    baseline = ((study.baseline or {}).get("test") or {}).get("ndcg@10")
    if best is None or baseline is None:
        return f"NDCG@10 on the test split is not known for both the best trial and {BASELINE}."
    return f"NDCG@10 on test: best {best:.4f}, {BASELINE} {baseline:.4f}: {'better' if beats else 'not better'}."


def _keep_serving(url: str) -> None:
    out.print(f"The dashboard stays at {url} (API: {url}/docs). Ctrl-C stops it.", soft_wrap=True)
    while True:
        time.sleep(1)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
