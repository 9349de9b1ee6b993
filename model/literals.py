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
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: is not valid YAML: {error}. Quote texts such as '[0,inf)'.") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{name}: holds a {type(loaded).__name__}; write `key: value` lines.")
    return {str(key): value for key, value in loaded.items()}
