"""From a command line in RecBole's style to a study's specification; ``run`` and ``launch`` share it."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape

from model.data import catalog
from model.errors import DatasetNotFound
from model.registry import parameters_of
from tuner.cli.data import fetch
from tuner.cli.environment import err
from tuner.errors import SpecificationError
from tuner.fields import StudyField, fields_of, read_texts
from tuner.specification import StudyOptions

if TYPE_CHECKING:
    from model.config import Config
    from tuner.engine.studies.draft import Draft
    from tuner.specification import StudySpecification

# Unknown options are configuration, as in RecBole; the folder is among the rest, because an optional
# argument would swallow the first of them.
TOLERANT = {"allow_extra_args": True, "ignore_unknown_options": True}
USAGE = "[FOLDER] [OPTIONS] [--key=value]..."

Dataset = Annotated[str | None, typer.Option("--dataset", help="A data set's name, for example ml-100k.")]
ParamsFile = Annotated[
    Path | None, typer.Option("--params_file", "--params-file", help="What to search: a hyper.test file.")
]
ConfigFiles = Annotated[
    str | None,
    typer.Option("--config_files", "--config-files", help="Configuration files, separated by spaces, weakest first."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Fetch the data set if it is missing.")]

# A key of RecBole's that is accepted, however near it is to --workers.
_RECBOLES = "worker"
EPILOG = "Every other --key=value is configuration."


@dataclass(frozen=True)
class Request:
    """The options that say which study is meant; ``fields`` are those of the study that flags set, as texts."""

    rest: Sequence[str]
    params_file: Path | None
    config_files: str | None
    fields: Mapping[str, str]


def flags(kind: type[StudyOptions] = StudyOptions) -> dict[str, tuple[str, ...]]:
    """The fields of a study that may be flags, each with the flag's names."""
    return {
        field.name: tuple(dict.fromkeys((f"--{field.name}", f"--{field.name.replace('_', '-')}", *field.role.also)))
        for field in fields_of(kind)
        if field.role.flag
    }


def takes_fields(command: Callable[..., None], kind: type[StudyOptions] = StudyOptions) -> Callable[..., None]:
    """A command with a flag for every field of a study that may be one, instead of its argument ``fields``.

    The command gets those that were set, as texts: what is wrong with them is said in the same words for flags, files
    and requests. A flag that the command declares itself stays what it is there.
    """
    signature = inspect.signature(command, eval_str=True)
    own = {name: parameter for name, parameter in signature.parameters.items() if name != "fields"}
    described = {field.name: field for field in fields_of(kind)}
    derived = {
        name: inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_option(described[name], names)
        )
        for name, names in flags(kind).items()
        if name not in own
    }

    def called(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in derived}
        command(**given, fields={name: text for name, text in chosen.items() if text is not None})

    functools.update_wrapper(called, command)
    del called.__wrapped__  # type: ignore[attr-defined]
    parameters = [entry.replace(kind=inspect.Parameter.KEYWORD_ONLY) for entry in (*own.values(), *derived.values())]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {entry.name: entry.annotation for entry in parameters}
    return called


def _option(field: StudyField, names: Sequence[str]) -> Any:
    metavar = {"whole number": "INTEGER", "number": "NUMBER", "yes or no": "true|false"}.get(field.kind, "TEXT")
    return Annotated[
        str | None, typer.Option(*names, help=field.description, metavar="|".join(field.choices) or metavar)
    ]


def assemble_request(request: Request) -> Draft:
    """The study that the command line asks for, with its remarks told on standard error.

    Raises:
        SpecificationError, SpaceError, ConfigError: what is wrong with it.
    """
    folders, command_line = _sort(request.rest)
    named = request.fields.keys() & {"model", "dataset"}
    if folders and (request.params_file or request.config_files or named):
        raise SpecificationError(
            "Name a study folder, or --model, --dataset, --params_file and --config_files, not both."
        )
    if folders:
        assembled = _from_folder(folders, command_line, request)
    else:
        assembled = _from_options(command_line, request)
    tell(assembled.notes)
    return assembled


def tell(notes: Iterable[str]) -> None:
    """Remarks about what was asked for, on standard error."""
    for note in notes:
        err.print(f"[yellow]Note:[/] {escape(note)}", soft_wrap=True)


def require_dataset(specification: StudySpecification, fetch_it: bool) -> None:
    """Make sure that the study's data set is on this machine.

    Raises:
        DatasetNotFound: it is not, and was not to be fetched or can't be.
    """
    schema = parameters_of(specification.model)
    data_path = specification.config.get("data_path", schema["data_path"].default)
    try:
        catalog.locate(specification.dataset, data_path)
    except DatasetNotFound:
        if not fetch_it or specification.dataset not in catalog.DATASETS:
            raise
        fetch(specification.dataset)


def read_configuration(model: str, dataset: str | None, config_files: str | None, rest: Sequence[str]) -> Config:
    """What configuration files and flags fix; the data set need not be named, or be there.

    Raises:
        SpecificationError, ConfigError: what is wrong with it.
    """
    from model.config import load_config

    folders, command_line = _sort(rest)
    if folders:
        raise SpecificationError(f"One params file at a time; {folders[0]} is one too many.")
    return load_config(model, dataset or "-", config_files=(config_files or "").split(), command_line=command_line)


def _sort(rest: Sequence[str]) -> tuple[list[str], list[str]]:
    """(folders, configuration flags) of what is left of a command line."""
    folders, settings = [], []
    for token in rest:
        if not token.startswith("-"):
            folders.append(token)
        elif token.startswith("--") and "=" in token:
            settings.append(token)
        else:
            raise SpecificationError(f"{token} has no value. Write {token}=VALUE.")
    known = (*flags(), "params_file", "config_files", "output_file")
    for token in settings:
        key = token.removeprefix("--").partition("=")[0]
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
        if near and key.replace("-", "_") not in known and key != _RECBOLES:
            raise SpecificationError(f"There is no option --{key}. Did you mean --{near[0]}?")
    if len(folders) > 1:
        raise SpecificationError(
            f"One study folder at a time, not {' and '.join(folders)}. A value is written as --key=value."
        )
    return folders, settings


def _from_folder(folders: list[str], command_line: list[str], request: Request) -> Draft:
    from tuner.folder import read_study

    return read_study(folders[0], command_line, _options(request.fields))


def _from_options(command_line: list[str], request: Request) -> Draft:
    from tuner import space
    from tuner.assembly import assemble

    if request.params_file is None:
        raise SpecificationError("What is to be searched? Give --params_file=hyper.test, or a study folder.")
    return assemble(
        _options(request.fields),
        space.load(request.params_file),
        config_files=(request.config_files or "").split(),
        command_line=command_line,
    )


def _options(fields: Mapping[str, str]) -> StudyOptions:
    try:
        return StudyOptions.model_validate(read_texts(StudyOptions, fields))
    except ValidationError as error:
        from tuner.assembly import describe

        raise SpecificationError(f"--{describe(error)}") from None
