"""How much a request may ask for. The command line is not bounded: it spends its own person's machine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from tuner.errors import Problems, SpecificationError
from tuner.fields import Role, role_of
from tuner.specification import StudySpecification

# The largest network that a request may ask for; memory grows with these.
_MOST = {
    "n_layers": 64,
    "n_heads": 64,
    "hidden_size": 4_096,
    "embedding_size": 4_096,
    "inner_size": 16_384,
    "MAX_ITEM_LIST_LENGTH": 10_000,
    "train_batch_size": 1_000_000,
    "eval_batch_size": 10_000_000,
}
_MOST_VALUES, _MOST_LEVELS, _LONGEST_KEY, _LONGEST_TEXT, _LARGEST = 20_000, 20, 200, 10_000, 2**63


def check_size(content: Any, name: str) -> None:
    """Refuse more values, deeper nesting, longer texts or larger integers than a study needs.

    Raises:
        SpecificationError: says what is too much.
    """
    waiting = [(content, 1)]
    seen = 0
    while waiting:
        value, level = waiting.pop()
        inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
        seen += len(inner)
        if seen > _MOST_VALUES or level > _MOST_LEVELS:
            raise SpecificationError(f"{name}: has more than {_MOST_VALUES:,} values or {_MOST_LEVELS} levels.")
        if isinstance(value, dict) and any(len(str(key)) > _LONGEST_KEY for key in value):
            raise SpecificationError(f"{name}: has a key of more than {_LONGEST_KEY} characters.")
        if isinstance(value, str) and len(value) > _LONGEST_TEXT:
            raise SpecificationError(f"{name}: has a text of more than {_LONGEST_TEXT:,} characters.")
        if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
            raise SpecificationError(f"{name}: has an integer that 64 bits can't hold.")
        waiting.extend((entry, level + 1) for entry in inner)


def check_limits(specification: StudySpecification) -> None:
    """Refuse more trials, workers or larger networks than a request may ask for.

    Raises:
        SpecificationError: names the key, the bound, and the way around it.
    """
    problems = Problems()
    for key, value in _numbers(specification):
        problems.gather(partial(_check_size_of_network, key, value))
    for name, field in StudySpecification.model_fields.items():
        problems.gather(partial(check_number, name, role_of(field), getattr(specification, name)))
    problems.raise_found()


def _check_size_of_network(key: str, value: float) -> None:
    bound = _MOST.get(key.rpartition(".")[2])
    if bound is not None and value > bound:
        raise SpecificationError(
            f"{key} = {value:g}: a request may ask for {bound:,} at most. Larger ones are for tuner run."
        )


def check_number(name: str, role: Role, value: Any) -> None:
    """Refuse a field's number that is larger than a request may ask for.

    Raises:
        SpecificationError: names the field and the bound.
    """
    if role.request_most is not None and value is not None and value > role.request_most:
        raise SpecificationError(f"{name} = {value:,}: a request may ask for {role.request_most:,} at most.")


def _numbers(specification: StudySpecification) -> Iterator[tuple[str, float]]:
    """(key, value) of every number that is fixed or that a search may come to."""
    values = list(specification.config.items())
    for parameter in specification.space.get("parameters", ()):
        values += [(parameter["name"], value) for value in parameter.get("values") or ()]
        values += [(parameter["name"], parameter[end]) for end in ("low", "high") if end in parameter]
    for key, value in values:
        for entry in value if isinstance(value, list | tuple) else (value,):
            if isinstance(entry, int | float) and not isinstance(entry, bool):
                yield key, entry
