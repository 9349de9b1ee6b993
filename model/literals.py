"""Texts from command lines and dictionaries as values, read by literal parsers and never evaluated.

RecBole evaluates such texts. The literal cases come out the same here; what only evaluation could give
(arithmetic, names, calls) stays the text that it was.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import yaml

from model.errors import ConfigError

_BOOLEANS = {"true": True, "false": False}
_MOST_VALUES = 100_000  # in one YAML file, with every alias counted as what it stands for
_MOST_LEVELS = 50


def parse_literal(text: str) -> Any:
    """The Python literal in ``text``, or the text itself when it is none.

    Numbers, quoted texts, lists, tuples, dictionaries, None and booleans (in any case) are literals.
    """
    if text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
    return value if isinstance(value, str | int | float | list | tuple | dict | None) else text


class _YamlLoader(yaml.SafeLoader):
    """Safe YAML 1.1 in which ``1e-3`` is a number too, as in RecBole."""


_YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"""^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |[-+]?(?:[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)
        |\.[0-9_]+(?:[eE][-+]?[0-9]+)?
        |[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*
        |[-+]?\.(?:inf|Inf|INF)
        |\.(?:nan|NaN|NAN))$""",
        re.VERBOSE,
    ),
    list("-+0123456789."),
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    Raises:
        ConfigError: the file can't be read, is no YAML, or holds something else than a mapping.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror}). Check config_files.") from error
    return parse_yaml(content, str(path))


def parse_yaml(content: bytes, name: str) -> dict[str, Any]:
    """The mapping in the bytes of a YAML file called ``name``; see :func:`read_yaml`."""
    try:
        # bandit-style linters distrust `load`; this loader is a SafeLoader.
        loader = _YamlLoader(content.decode("utf-8"))
        try:
            loaded = loader.get_single_data()
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ConfigError(f"{name}: is nested too deeply. Check its brackets.") from error
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: what looks like a date or a number and is none, such as 2020-13-45.
        raise ConfigError(f"{name}: is not valid YAML: {error}. Quote texts such as '[0,inf)'.") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{name}: holds a {type(loaded).__name__}; write `key: value` lines.")
    _check_size(loaded, name)
    return {str(key): value for key, value in loaded.items()}


def _check_size(loaded: dict[Any, Any], name: str) -> None:
    """Refuse aliases that unfold without end, or to more than any configuration holds."""
    waiting: list[tuple[Any, int]] = [(loaded, 1)]
    count = 0
    while waiting:
        value, depth = waiting.pop()
        inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
        waiting.extend((content, depth + 1) for content in inner)
        count += len(inner)
        if count > _MOST_VALUES or depth > _MOST_LEVELS:
            raise ConfigError(
                f"{name}: unfolds to more than {_MOST_VALUES:,} values or {_MOST_LEVELS} levels. "
                "Remove aliases (*name)."
            )
