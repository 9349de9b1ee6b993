"""RecBole's ``params_dict`` form, as a YAML file or a mapping: type, then names with their values.

.. code-block:: yaml

    choice:
      pretrain_epochs: [50, 100, 150]
    loguniform:
      learning_rate: [-8, 0]
    quniform:
      n_layers: [1, 4, 1]

The meaning is that of the same lines in a ``hyper.test``, except that texts keep their spaces and YAML says what is a
number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from model.errors import ConfigError
from model.literals import parse_yaml
from tuner.errors import SpaceError, raise_all
from tuner.space.parameter import BOUNDS, PARAMETER_TYPES, SpaceParameter, remark_on_exponents
from tuner.space.space import SearchSpace, repetitions

_FIRST_KEY = re.compile(rf"(?:[^\S\n]*(?:#[^\n]*)?\n|---[^\n]*\n)*['\"]?({'|'.join(PARAMETER_TYPES)})['\"]?\s*:")
# What study.yaml has and configurations don't.
_STUDY_KEYS = frozenset({"params_file", "config_files", "sampler", "pruner", "max_trials"})

Place = tuple[int | None, int | None]


def recognises(text: str) -> bool:
    """Whether the text begins as this form does, whatever its file is called."""
    return _FIRST_KEY.match(text) is not None


def is_form(document: Any) -> bool:
    """Whether a document (from JSON, for one) is of this form: all of its keys are types."""
    return isinstance(document, Mapping) and bool(document) and document.keys() <= set(PARAMETER_TYPES)


def parse(text: str, filename: str = "params.yaml") -> SearchSpace:
    """The space that a YAML text declares.

    Raises:
        SpaceError: with line, column and what to write instead; a SpaceErrors for several.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        document = parse_yaml(text.encode(), filename)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        problem = f"Not YAML: {error.problem}."
        raise SpaceError(problem, _EXAMPLE, file=filename, line=line, column=column) from None
    except (yaml.YAMLError, ConfigError, RecursionError, ValueError) as error:
        problem = "This is no YAML that can be read" + (f" ({error})." if isinstance(error, ConfigError) else ".")
        raise SpaceError(problem, _EXAMPLE, file=filename) from None
    if not document:
        raise SpaceError("The file declares no parameter.", _EXAMPLE, file=filename)
    if not document.keys() & set(PARAMETER_TYPES):
        raise looks_like_a_configuration(document, filename, 1 if root is None else root.start_mark.line + 1)
    return from_mapping(document, filename, *_places(root))


def from_mapping(
    document: Mapping[str, Any],
    file: str | None = None,
    places: Mapping[tuple[str, ...], Place] | None = None,
    twice: Sequence[tuple[str, ...]] = (),
) -> SearchSpace:
    """The space of a mapping like RecBole's ``params_dict``.

    Args:
        places: line and column of keys, by path.
        twice: paths of keys that stand twice, of which the mapping holds the last value.

    Raises:
        SpaceError: as :func:`parse`.
    """
    reader = _Reader(file, places or {})
    for path in twice:
        reader.repeated(path)
    for kind, entries in document.items():
        reader.read(kind, entries)
    errors = [*reader.errors, *repetitions(reader.parameters, file)]
    raise_all(sorted(errors, key=lambda error: error.line or 0))
    return SearchSpace(tuple(reader.parameters), tuple(reader.notes), file)


def looks_like_a_configuration(keys: Mapping[str, Any], file: str, line: int) -> SpaceError:
    """The error for a file of ``key: value`` lines in the place of a params file."""
    if keys.keys() & _STUDY_KEYS:
        problem = "This looks like a study file (study.yaml); a params file has name, type, values."
        return SpaceError(problem, "Name the folder of the study: tuner run FOLDER.", file=file, line=line, column=1)
    return SpaceError(
        "This looks like a configuration (key: value); a params file has name, type, values.",
        "Give a configuration as --config_files; write a params file like this: learning_rate choice [0.01, 0.001]",
        file=file,
        line=line,
        column=1,
    )


_EXAMPLE = "Write a type and below it names with their values, for example choice: {n_layers: [1, 2]}."


class _Reader:
    """Turns the entries of one mapping into parameters, and keeps what is wrong with them."""

    def __init__(self, file: str | None, places: Mapping[tuple[str, ...], Place]) -> None:
        self.parameters: list[SpaceParameter] = []
        self.errors: list[SpaceError] = []
        self.notes: list[str] = []
        self._file, self._places = file, places

    def repeated(self, path: tuple[str, ...]) -> None:
        """A key stands twice in the file."""
        self._error(path, f"{path[-1]} stands twice.", "Keep one of them, with everything below it.")

    def read(self, kind: str, entries: Any) -> None:
        """The parameters of one type."""
        if kind not in PARAMETER_TYPES:
            self._error((kind,), f"Unknown type {kind!r}.", f"The types are {', '.join(PARAMETER_TYPES)}.")
        elif not isinstance(entries, Mapping) or not entries:
            self._error((kind,), f"{kind} has no names below it.", _EXAMPLE)
        else:
            for name, value in entries.items():
                self._parameter(kind, str(name), value)

    def _parameter(self, kind: str, name: str, value: Any) -> None:
        line, _ = self._places.get((kind, name), (None, None))
        try:
            if kind == "choice":
                self.parameters.append(SpaceParameter(name, "choice", self._options(name, value), line=line))
            else:
                bounds = dict(zip(BOUNDS[kind], self._bounds(kind, name, value), strict=True))
                self.parameters.append(SpaceParameter(name, kind, line=line, **bounds))  # type: ignore[arg-type]
                if kind == "loguniform" and (remark := remark_on_exponents(bounds["low"], bounds["high"])):
                    self._note(kind, name, remark)
        except SpaceError as error:
            self._error((kind, name), error.problem, error.fix)

    def _options(self, name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise SpaceError(f"{name}: choice needs a list, not {value!r}.", f"Write {name}: [{value}].")
        distinct: dict[str, Any] = {}
        for option in value:
            if repr(option) in distinct:
                self._note("choice", name, f"the option {option!r} is listed twice and counts once")
            distinct.setdefault(repr(option), option)
        return tuple(distinct.values())

    def _bounds(self, kind: str, name: str, value: Any) -> Iterator[float]:
        wanted = BOUNDS[kind]
        usage = f"Write {name}: [{', '.join(wanted)}], with numbers."
        if not isinstance(value, list) or len(value) != len(wanted):
            raise SpaceError(f"{name}: {kind} takes a list of {len(wanted)} numbers, not {value!r}.", usage)
        for bound in value:
            try:
                if isinstance(bound, bool):
                    raise ValueError
                yield float(bound)
            except (TypeError, ValueError, OverflowError):
                raise SpaceError(f"{name}: {bound!r} is not a number.", usage) from None

    def _note(self, kind: str, name: str, remark: str) -> None:
        place = ":".join(str(part) for part in (self._file, *self._places.get((kind, name), ())) if part is not None)
        self.notes.append(f"{place}: {remark}." if place else f"{name}: {remark}.")

    def _error(self, path: tuple[str, ...], problem: str, fix: str) -> None:
        line, column = self._places.get(path, (None, None))
        self.errors.append(SpaceError(problem, fix, file=self._file, line=line, column=column))


def _places(root: yaml.Node | None) -> tuple[dict[tuple[str, ...], Place], list[tuple[str, ...]]]:
    """Line and column of every type and every name; and which of them stand twice."""
    found: dict[tuple[str, ...], Place] = {}
    twice: list[tuple[str, ...]] = []
    for kind, entries in _pairs(root):
        paths = [((kind.value,), kind), *(((kind.value, name.value), name) for name, _ in _pairs(entries))]
        for path, key in paths:
            if path in found:
                twice.append(path)
            found[path] = (key.start_mark.line + 1, key.start_mark.column + 1)
    return found, twice


def _pairs(node: yaml.Node | None) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            yield key, value
