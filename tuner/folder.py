"""Study folders: ``study.yaml`` beside the params file and configuration files that it names.

.. code-block:: yaml

    model: S3Rec
    dataset: ml-100k
    params_file: hyper.test
    config_files: [settings.yaml]
    config: {train_batch_size: 512}
    max_trials: 8
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from model.literals import read_yaml
from tuner import space
from tuner.assembly import assemble, describe, safe_name
from tuner.engine.studies.draft import Draft
from tuner.errors import SpecificationError
from tuner.specification import StudyOptions

STUDY_FILE = "study.yaml"


class StudyFile(StudyOptions):
    """The keys of study.yaml; paths are relative to the folder."""

    description: str | None = Field(default=None, description="One sentence for people.")
    params_file: str = Field(default="hyper.test", description="The search space.")
    config_files: list[str] = Field(default_factory=list, description="RecBole configuration files, in order.")


def read_study(folder: str | Path, command_line: Sequence[str] = (), flags: StudyOptions | None = None) -> Draft:
    """The study that a folder describes; its name is the folder's unless the file has another.

    Args:
        command_line: tokens ``--key=value``, stronger than the folder's configuration.
        flags: the fields that are set in it are stronger than the folder's.

    Raises:
        SpecificationError: there is no such folder or study.yaml, or a key in it is wrong; names file, line,
            key and fix.
        SpaceError, ConfigError: the same for the params file and the configuration files.
    """
    folder = Path(folder)
    path = folder / STUDY_FILE
    if not path.is_file():
        problem = "has no study.yaml" if folder.is_dir() else "is not a folder"
        raise SpecificationError(f"{folder} {problem}. Name a study folder, for example studies/quickstart.")
    try:
        study = StudyFile.model_validate(read_yaml(path))
    except ValidationError as error:
        raise SpecificationError(_explain(path, error)) from None
    if flags is not None:
        study = study.model_copy(update={key: getattr(flags, key) for key in flags.model_fields_set})
    return assemble(
        study,
        space.load(folder / study.params_file),
        config_files=[folder / name for name in study.config_files],
        command_line=command_line,
        name=safe_name(folder.resolve().name),
    )


def _explain(path: Path, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = str(first["loc"][0])
    line = _line(path, first["loc"])
    place = f"{path}:{line}" if line else str(path)
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        known = list(StudyFile.model_fields)
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
        return f"{place}: {key} is not a key of study.yaml. {hint} Training parameters stand under config."
    return f"{place}: {describe(error)}"


def _line(path: Path, location: tuple[Any, ...]) -> int | None:
    """The line of the innermost key of ``location`` that the file has."""
    node: Any = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    line: int | None = None
    for part in location:
        entries = node.value if isinstance(node, yaml.MappingNode) else ()
        found = next(((key, value) for key, value in entries if key.value == str(part)), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
