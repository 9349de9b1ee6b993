"""``tuner study best``, ``tuner study export`` and ``tuner trial config``: what is taken away from a study."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli.environment import open_database, out, read_settings, write_file
from tuner.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

Study = Annotated[str, typer.Argument(metavar="NAME", help="A study's name or id.")]


def _known_form(name: str) -> str:
    from tuner.insight.configuration import FORMS

    return _known(name, tuple(FORMS))


def _known_format(name: str) -> str:
    from tuner.insight.export import FORMATS

    return _known(name, tuple(FORMATS))


def _known(name: str, names: tuple[str, ...]) -> str:
    if name not in names:
        raise typer.BadParameter(f"There is no format {name!r}. Formats: {', '.join(names)}.")
    return name


Form = Annotated[
    str,
    typer.Option(
        "--format", callback=_known_form, help="yaml, json, recbole (a document for each stage), flags, python."
    ),
]
Format = Annotated[
    str,
    typer.Option("--format", callback=_known_format, help="csv, ndjson, parquet, recbole (as run_hyper.py writes it)."),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write a file; it appears whole or not at all.")]


def show_best(name: Study, form: Form = "yaml", output: Output = None) -> None:
    """Print the best trial's configuration, to be used as it is."""
    _configuration(name, None, form, output)


def show_configuration(
    name: Study, number: Annotated[int, typer.Argument(min=0)], form: Form = "yaml", output: Output = None
) -> None:
    """Print a trial's configuration, to be used as it is."""
    _configuration(name, number, form, output)


def export_trials(name: Study, chosen: Format = "csv", output: Output = None) -> None:
    """Write all trials of a study as a table."""
    from tuner.insight.export import export

    with open_database(read_settings()) as database:
        _file_name, pieces = export(database, name, chosen)
        if output is None and chosen == "parquet" and sys.stdout.isatty():
            raise SettingsError("parquet is not for a terminal. Name a file: --output trials.parquet.")
        _write(pieces, output)


def _configuration(name: str, number: int | None, form: str, output: Path | None) -> None:
    from tuner.insight.configuration import FORMS, trial_configuration

    with open_database(read_settings()) as database:
        text = FORMS[form](trial_configuration(database, name, number))
    _write(iter((text.encode(),)), output)


def _write(pieces: Iterator[bytes], output: Path | None) -> None:
    if output is not None:
        write_file(output, pieces)
        out.print(str(output), soft_wrap=True, markup=False)
        return
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
