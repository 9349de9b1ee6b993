"""``tuner models``: the models that can be tuned, and their parameters."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from model.parameters import Parameter
from model.registry import DEFAULT, get_model, model_names, parameters_of
from tuner.cli.environment import out
from tuner.errors import SpecificationError


def show_models(
    name: Annotated[str | None, typer.Argument(help="Show this model's parameters.")] = None,
    space: Annotated[
        bool, typer.Option("--space", help="Print a params file worth beginning with for the model.")
    ] = False,
) -> None:
    """List the models, the parameters of one, or a search space to begin with."""
    if space:
        typer.echo(_search_space(name), nl=False)
        return
    table = Table(box=None, pad_edge=False)
    if name is None:
        for column in ("model", "stages", "summary"):
            table.add_column(column, overflow="fold")
        for known in model_names():
            definition = get_model(known)
            stages = ", ".join(stage.name for stage in definition.stages)
            table.add_row(known, stages, definition.summary)
    else:
        for column in ("parameter", "default", "values", "meaning"):
            table.add_column(column, overflow="fold")
        for parameter in parameters_of(name).values():
            table.add_row(parameter.name, escape(repr(parameter.default)), _values(parameter), parameter.doc)
    out.print(table)


def _search_space(name: str | None) -> str:
    if name is None:
        raise SpecificationError("--space needs a model. Name one, for example: tuner models " + DEFAULT + " --space")
    text = get_model(name).search_space
    if not text:
        raise SpecificationError(f"{name} suggests no search space. tuner models {name} lists its parameters.")
    return text


def _values(parameter: Parameter) -> str:
    if parameter.choices is not None:
        return ", ".join(str(choice) for choice in parameter.choices)
    low, high = parameter.minimum, parameter.maximum
    bounds = f" from {low:g}" if low is not None else ""
    bounds += f" to {high:g}" if high is not None else ""
    return parameter.kind + bounds
