"""From a command line in RecBole's style to a study's specification; ``run`` and ``launch`` share it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape

from model.config import Config, load_config
from model.data import catalog
from model.errors import DatasetNotFound
from model.registry import DEFAULT, parameters_of
from tuner import space
from tuner.assembly import Assembled, StudyOptions, assemble, describe
from tuner.cli.data import fetch
from tuner.cli.environment import err
from tuner.errors import SpecificationError
from tuner.folder import read_study
from tuner.specification import StudySpecification

# Unknown options are configuration, as in RecBole; the folder is among the rest, because an optional
# argument would swallow the first of them.
TOLERANT = {"allow_extra_args": True, "ignore_unknown_options": True}
USAGE = "[FOLDER] [OPTIONS] [--key=value]..."

Model = Annotated[str | None, typer.Option("--model", help=f"A model's name, for example {DEFAULT}.")]
Dataset = Annotated[str | None, typer.Option("--dataset", help="A data set's name, for example ml-100k.")]
ParamsFile = Annotated[
    Path | None, typer.Option("--params_file", "--params-file", help="What to search: a hyper.test file.")
]
ConfigFiles = Annotated[
    str | None,
    typer.Option("--config_files", "--config-files", help="Configuration files, separated by spaces, weakest first."),
]
Name = Annotated[str | None, typer.Option("--name", help="The study's name. Default: made from its content.")]
Sampler = Annotated[
    str | None,
    typer.Option("--sampler", "--algo", help="auto, exhaustive, random, tpe (bayes), gp, cmaes or qmc."),
]
MaxTrials = Annotated[
    int | None, typer.Option("--max_trials", "--max-trials", "--max_evals", min=1, help="Trials at most.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Fetch the data set if it is missing.")]

# Fields of study.yaml that may be flags as well. Its seed may not: as a flag that is training's.
STUDY_FLAGS = (
    "pruner",
    "early_stop",
    "target_value",
    "timeout_seconds",
    "computing_hours",
    "max_failures",
    "keep",
    "reuse_results",
    "warm_start",
)
EPILOG = (
    "Of study.yaml's fields these may be flags, too: "
    + ", ".join(f"--{key}=..." for key in STUDY_FLAGS)
    + ". Every other --key=value is configuration."
)
_OPTIONS = (
    *("model", "dataset", "params_file", "config_files", "output_file", "name", "sampler", "max_trials"),
    *STUDY_FLAGS,
)


@dataclass(frozen=True)
class Request:
    """The options that say which study is meant; ``fields`` are those of ``STUDY_FLAGS`` among ``rest``."""

    rest: Sequence[str]
    model: str | None
    dataset: str | None
    params_file: Path | None
    config_files: str | None
    name: str | None
    sampler: str | None
    max_trials: int | None
    fields: Mapping[str, str] = field(default_factory=dict)


def assemble_request(request: Request) -> Assembled:
    """The study that the command line asks for, with its remarks told on standard error.

    Raises:
        SpecificationError, SpaceError, ConfigError: what is wrong with it.
    """
    folders, flags = _sort(request.rest)
    command_line, fields = _study_fields(flags)
    request = replace(request, fields=fields)
    if folders and (request.params_file or request.model or request.dataset or request.config_files):
        raise SpecificationError(
            "Name a study folder, or --model, --dataset, --params_file and --config_files, not both."
        )
    if folders:
        assembled = _from_folder(folders, command_line, request)
    else:
        assembled = _from_options(command_line, request)
    for note in assembled.notes:
        err.print(f"[yellow]Note:[/] {escape(note)}", soft_wrap=True)
    return assembled


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
    folders, command_line = _sort(rest)
    if folders:
        raise SpecificationError(f"One params file at a time; {folders[0]} is one too many.")
    return load_config(model, dataset or "-", config_files=(config_files or "").split(), command_line=command_line)


def _sort(rest: Sequence[str]) -> tuple[list[str], list[str]]:
    """(folders, configuration flags) of what is left of a command line."""
    folders, flags = [], []
    for token in rest:
        if not token.startswith("-"):
            folders.append(token)
        elif token.startswith("--") and "=" in token:
            flags.append(token)
        else:
            raise SpecificationError(f"{token} has no value. Write {token}=VALUE.")
    for flag in flags:
        key = flag.removeprefix("--").partition("=")[0]
        near = difflib.get_close_matches(key, _OPTIONS, n=1, cutoff=0.8)
        if near and key.replace("-", "_") not in STUDY_FLAGS:
            raise SpecificationError(f"There is no option --{key}. Did you mean --{near[0]}?")
    if len(folders) > 1:
        raise SpecificationError(
            f"One study folder at a time, not {' and '.join(folders)}. A value is written as --key=value."
        )
    return folders, flags


def _study_fields(flags: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """(configuration flags, fields of the study) that the flags set."""
    command_line, fields = [], {}
    for flag in flags:
        key, _, value = flag.removeprefix("--").partition("=")
        if (name := key.replace("-", "_")) in STUDY_FLAGS:
            fields[name] = value
        else:
            command_line.append(flag)
    return command_line, fields


def _from_folder(folders: list[str], command_line: list[str], request: Request) -> Assembled:
    assembled = read_study(folders[0], command_line)
    chosen = _chosen(request)
    if not chosen:
        return assembled
    options = _options(chosen)
    fields = {key: getattr(options, key) for key in chosen}
    changed = assembled.specification.model_copy(update=fields)
    return replace(assembled, specification=changed)


def _from_options(command_line: list[str], request: Request) -> Assembled:
    if request.params_file is None:
        raise SpecificationError("What is to be searched? Give --params_file=hyper.test, or a study folder.")
    options = _options({"model": request.model, "dataset": request.dataset, **_chosen(request)})
    return assemble(
        options,
        space.load(request.params_file),
        config_files=(request.config_files or "").split(),
        command_line=command_line,
    )


def _chosen(request: Request) -> dict[str, Any]:
    named: dict[str, Any] = {"name": request.name, "sampler": request.sampler, "max_trials": request.max_trials}
    return {key: value for key, value in {**named, **request.fields}.items() if value is not None}


def _options(fields: dict[str, Any]) -> StudyOptions:
    try:
        return StudyOptions.model_validate(fields)
    except ValidationError as error:
        raise SpecificationError(f"--{describe(error)}") from None
