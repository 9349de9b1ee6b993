"""Name -> model. Adding a model is one line here, or an entry point of the group ``rectuner.models``."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points

from model.defaults import COMMON
from model.errors import ConfigError
from model.parameters import Parameter, by_name
from model.recommender import ModelDefinition

GROUP = "rectuner.models"

# Where each model that ships with the package keeps its definition. Resolved when first asked for, so that
# naming a model costs no import and model packages may import the configuration.
BUILT_IN = {
    "S3Rec": "model.s3rec:DEFINITION",
    "SURGE": "model.surge:DEFINITION",
    "Popularity": "model.popularity:DEFINITION",
}


# The model that commands and pages begin with when none is named.
DEFAULT = "S3Rec"
# The model that every study is compared with (model.baseline).
BASELINE = "Popularity"


def model_names() -> list[str]:
    """All names, the shipped ones first."""
    others = sorted(entry.name for entry in entry_points(group=GROUP) if entry.name not in BUILT_IN)
    return [*BUILT_IN, *others]


@cache
def get_model(name: str) -> ModelDefinition:
    """The model called ``name`` (names are exact, as in RecBole).

    Raises:
        ConfigError: there is none (the message has the nearest name), or it can't be imported.
    """
    target = BUILT_IN.get(name)
    if target is not None:
        module, _, attribute = target.partition(":")
        definition = getattr(importlib.import_module(module), attribute)
    else:
        found = [entry for entry in entry_points(group=GROUP) if entry.name == name]
        if not found:
            raise ConfigError(_unknown(name))
        try:
            definition = found[0].load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"model {name!r} is registered as {found[0].value}, which can't be imported: {error}."
            ) from error
    if not isinstance(definition, ModelDefinition):
        raise ConfigError(f"model {name!r} is registered, but not as a ModelDefinition.")
    return definition


@cache
def parameters_of(name: str) -> dict[str, Parameter]:
    """The schema of a model's configuration: the common keys, then its own.

    A model's own version of a common key has another default or doc, and decides as much what is measured.
    """
    common = by_name(COMMON)
    measuring = {key for key, parameter in common.items() if parameter.measures}
    own = [replace(each, measures=each.measures or each.name in measuring) for each in get_model(name).parameters]
    return common | by_name(own)


def _unknown(name: str) -> str:
    names = model_names()
    folded = {known.lower(): known for known in names}
    nearest = folded.get(name.lower()) or next(iter(difflib.get_close_matches(name, names, n=1)), None)
    hint = f"Did you mean {nearest}?" if nearest else f"There are: {', '.join(names)}."
    return f"model = {name!r}: there is no model of that name. {hint}"
