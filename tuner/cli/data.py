"""``tuner data``: which data sets are at hand, and getting those of the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from model.data import catalog
from tuner.cli.environment import err, out, read_settings

app = typer.Typer(no_args_is_help=True, help="Data sets: which are at hand, and getting more.")

DataPath = Annotated[
    Path, typer.Option("--data_path", "--data-path", help="Folder that holds one folder per data set.")
]


@app.command("ls")
def list_datasets(data_path: DataPath = Path("dataset")) -> None:
    """List the data sets that can be used or fetched."""
    from tuner.insight import installation

    read_settings()
    table = Table(box=None, pad_edge=False)
    for column in ("name", "where", "description"):
        table.add_column(column, overflow="fold")
    for dataset in installation.list_datasets(data_path):
        table.add_row(dataset.name, dataset.folder or f"tuner data get {dataset.name}", dataset.description)
    out.print(table)


@app.command("get")
def get_dataset(name: Annotated[str, typer.Argument(help="A name from `tuner data ls`.")]) -> None:
    """Fetch a data set into the cache, check it, and name its terms of use."""
    read_settings()
    typer.echo(fetch(name))


@app.command("path")
def show_path(
    name: Annotated[str, typer.Argument(help="A data set's name.")], data_path: DataPath = Path("dataset")
) -> None:
    """Print the folder that a data set is read from."""
    read_settings()
    typer.echo(catalog.locate(name, data_path))


def fetch(name: str) -> Path:
    """Fetch with progress and the terms on standard error; quick when the files are there already.

    Raises:
        DatasetNotFound, DataError: it can't be fetched.
    """
    source = catalog.DATASETS.get(name)
    if source is not None:
        err.print(f"{source.description}\nTerms: {source.licence}")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(f"Getting {name}", total=None)
        folder = catalog.fetch(name, lambda done, total: progress.update(task, completed=done, total=total))
    err.print(f"{name} is at {folder}")
    return folder
