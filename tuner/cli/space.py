"""``tuner space``: what a params file means, before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from model.registry import DEFAULT, get_model, parameters_of
from tuner.cli.environment import out
from tuner.cli.requests import ConfigFiles, Dataset, read_configuration

if TYPE_CHECKING:
    from tuner.space import SearchSpace, SpaceParameter


def show_space(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="hyper.test, params_dict (YAML), or JSON.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the canonical JSON.")] = False,
    model: Annotated[str, typer.Option("--model", help="Check the parameters against this model.")] = DEFAULT,
    dataset: Dataset = None,
    config_files: ConfigFiles = None,
) -> None:
    """Show what a params file searches, and check it: each value, and whether values fit each other.

    What will be fixed in the study can be given as there: --config_files, and --key=value.
    """
    from tuner import space
    from tuner.space.review import review_space

    searched = space.load(file)
    fixed = read_configuration(model, dataset, config_files, context.args)
    searched.check(parameters_of(model), fixed=fixed.given)
    searched = searched.with_distinct_options(parameters_of(model))
    remarks = review_space(searched, get_model(model), fixed)
    if as_json:
        # typer.echo, because rich would wrap the line.
        typer.echo(json.dumps(searched.to_json(), ensure_ascii=False))
        return
    out.print(_table(searched))
    out.print(_size(searched))
    for note in (*searched.notes, *remarks):
        out.print(f"[yellow]Note:[/] {escape(note)}", soft_wrap=True)


def _table(searched: SearchSpace) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("parameter", "type", "as written", "effective values", "count"):
        table.add_column(column, justify="right" if column == "count" else "left", overflow="fold")
    for parameter in searched.parameters:
        count = "∞" if parameter.size is None else str(parameter.size)
        table.add_row(parameter.name, parameter.type, _written(parameter), _effective(parameter), count)
    return table


def _written(parameter: SpaceParameter) -> str:
    if parameter.type == "choice":
        return json.dumps(list(parameter.values), ensure_ascii=False)
    numbers = [parameter.low, parameter.high, *([parameter.q] if parameter.type == "quniform" else [])]
    return ", ".join(f"{number:g}" for number in numbers if number is not None)


def _effective(parameter: SpaceParameter) -> str:
    if parameter.effective_range is None:
        return ", ".join(str(value) for value in parameter.values)
    low, high = parameter.effective_range
    step = f" in steps of {parameter.q:g}" if parameter.type == "quniform" else ""
    scale = ", logarithmic" if parameter.type == "loguniform" else ""
    return f"{low:.6g} to {high:.6g}{step}{scale}"


def _size(searched: SearchSpace) -> str:
    if searched.size is None:
        return "No end of combinations: search with tpe or random and a number of trials (--max_trials)."
    return f"{searched.size:,} combination{'' if searched.size == 1 else 's'}."
