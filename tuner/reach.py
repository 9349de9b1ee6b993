"""What a request may make the service touch: files below the installation's folders, whatever a path says.

Somebody at the command line may name any file of their own. Somebody who reaches the service may not make it look at
the machine's other files, not even to learn whether they are there: a path that leads out is refused before anything is
opened. Columns (``item_attribute``, ``*_FIELD``) are only looked up in the headers of the data set's own files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.data import catalog
from model.literals import parse_literal
from tuner.errors import SpecificationError
from tuner.settings import Settings
from tuner.specification import StudySpecification

_PATHS = ("data_path", "pre_model_path", "checkpoint_dir")
# Parts of file names: they name a file of the data set's folder, without a path.
_NAMES = ("dataset", "benchmark_filename")
# Where studies on this machine keep data sets and checkpoints unless told otherwise, below the current folder.
_USUAL = ("dataset", "saved")


def check_reach(specification: StudySpecification, settings: Settings) -> None:
    """Refuse paths, fixed or searched, that lead out of the folders that requests may name.

    Raises:
        SpecificationError: the same whether there is something at the path or not.
    """
    roots = _roots(settings)
    for key, value in _given(specification):
        name = key.rpartition(".")[2]
        for text in _texts(value):
            if name in _NAMES and (text in (".", "..") or any(character in text for character in "/\\\0")):
                raise SpecificationError(f"{key} = {text!r}: is part of a file's name; write it without a path.")
            if name in _PATHS and not _is_below(text, roots):
                raise SpecificationError(
                    f"{key} = {text!r}: is outside of the folders that a request may name. Put the files into one of "
                    "them, or name their folder when the service is started: TUNER_ROOTS."
                )


def _roots(settings: Settings) -> list[Path]:
    chosen = [Path(folder) for folder in settings.roots.split(os.pathsep) if folder]
    folders = [settings.artifacts, catalog.cache_root(), *(Path(name) for name in _USUAL), *chosen]
    return [folder.resolve() for folder in folders]


def _is_below(text: str, roots: list[Path]) -> bool:
    try:
        path = Path(text).resolve()  # links followed as far as there are any
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, or links in a circle
        return False
    return any(path.is_relative_to(root) for root in roots)


def _given(specification: StudySpecification) -> Iterator[tuple[str, Any]]:
    """(key, value) of what is fixed and of every value that is searched."""
    yield "dataset", specification.dataset
    yield from specification.config.items()
    for parameter in specification.space.get("parameters", ()):
        for value in parameter.get("values") or ():
            yield parameter["name"], value


def _texts(value: Any) -> Iterator[str]:
    """The texts of a value, read as literals as often as a configuration may read them; empty ones mean the default."""
    if isinstance(value, list | tuple):
        for entry in value:
            yield from _texts(entry)
    elif isinstance(value, str) and value:
        read = parse_literal(value)
        if read == value or not isinstance(read, str | list | tuple):
            yield value
        else:
            yield from _texts(read)
