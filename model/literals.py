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
_MOST_VALUES = 10_000  # in one YAML file, with every alias counted as what it stands for
_MOST_LEVELS = 50
_MOST_BYTES = 64_000
_LONGEST_INTEGER = 100


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


class _TooLarge(Exception):
    """A document unfolds to more than a configuration holds."""


class _YamlLoader(yaml.SafeLoader):
    """Safe YAML 1.1 in which ``1e-3`` is a number too, as in RecBole.

    Values are counted while the document's nodes are put together, an alias as everything that it stands for, and
    before anything is built of them: a few hundred bytes of nested aliases or merge keys unfold to gigabytes.
    """

    def __init__(self, content: str) -> None:
        super().__init__(content)
        self._count = self._level = 0
        self._sizes: dict[str, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._count
        # An alias within what it stands for would unfold without end.
        self._count += self._sizes.get(str(event.anchor), _MOST_VALUES) if isinstance(event, yaml.AliasEvent) else 1
        self._level += 1
        if self._count > _MOST_VALUES or self._level > _MOST_LEVELS:
            raise _TooLarge
        node = super().compose_node(parent, index)
        self._level -= 1
        if not isinstance(event, yaml.AliasEvent) and event.anchor is not None:
            self._sizes[event.anchor] = self._count - before
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > _LONGEST_INTEGER:
            raise ValueError(f"an integer of {len(node.value):,} characters")
        return super().construct_yaml_int(node)


_YamlLoader.add_constructor("tag:yaml.org,2002:int", _YamlLoader.construct_yaml_int)

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
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{name}: has {len(content):,} bytes; a configuration has {_MOST_BYTES:,} at most.")
    try:
        # bandit-style linters distrust `load`; this loader is a SafeLoader.
        loader = _YamlLoader(content.decode("utf-8"))
        try:
            loaded = loader.get_single_data()
        finally:
            loader.dispose()
    except _TooLarge:
        raise ConfigError(
            f"{name}: unfolds to more than {_MOST_VALUES:,} values or {_MOST_LEVELS} levels. Remove aliases (*name)."
        ) from None
    except RecursionError as error:
        raise ConfigError(f"{name}: is nested too deeply. Check its brackets.") from error
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: what looks like a date or a number and is none, such as 2020-13-45.
        raise ConfigError(f"{name}: is not valid YAML: {error}. Quote texts such as '[0,inf)'.") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{name}: holds a {type(loaded).__name__}; write `key: value` lines.")
    return {str(key): value for key, value in loaded.items()}
