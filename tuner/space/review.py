"""What a model says to a search as a whole: combinations that do not fit, parameters that change nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from model.errors import ConfigError
from model.registry import parameters_of
from tuner.errors import SpaceError
from tuner.space.check import extremes
from tuner.space.effects import remarks_on_effects

if TYPE_CHECKING:
    from model.config import Config
    from model.definition import ModelDefinition, Stage
    from tuner.space.parameter import SpaceParameter
    from tuner.space.space import SearchSpace

# Beyond so many combinations only the first and last value of each parameter are tried.
_MOST_COMBINATIONS = 500


def review_space(space: SearchSpace, definition: ModelDefinition, config: Config) -> tuple[str, ...]:
    """Remarks about given and searched parameters that have no effect, in all trials or in some.

    Only parameters that the model's review reads are combined with each other, so that a large space costs no
    more than the few parameters that depend on one another.

    Args:
        config: what is fixed.

    Raises:
        SpaceError: values of the space do not fit each other or the configuration; names the params file's line.
        ConfigError: fixed values do not fit each other.
    """
    answers = {stage.name: _reviews(space, definition, stage, config) for stage in definition.stages}
    schema = parameters_of(definition.name)
    told = [*(key.rpartition(".")[2] for key in config.given), *(parameter.key for parameter in space.parameters)]
    remarks = list(remarks_on_effects(space, definition, schema, config))
    for key in dict.fromkeys(key for key in told if key in schema):
        shaped = [name for name in answers if schema[key].shapes(name)] or list(answers)
        relevant = [answer for name in shaped for answer in answers[name]]
        reasons = [answer[key] for answer in relevant if key in answer]
        if reasons:
            extent = "" if len(reasons) == len(relevant) else " in some trials"
            remarks.append(f"{key} has no effect{extent}: {reasons[0]}.")
    return tuple(remarks)


def _reviews(space: SearchSpace, definition: ModelDefinition, stage: Stage, config: Config) -> list[Mapping[str, str]]:
    """The model's answers to every combination of the parameters that it asks for."""
    searched = [parameter for parameter in space.parameters if parameter.stage in (None, stage.name)]
    others = {parameter.name: next(extremes(parameter)) for parameter in searched}
    asked: set[str] = set()
    varied: list[SpaceParameter] = []
    while True:
        found = []
        for values in _combinations(varied):
            watched = _Watched(config.for_stage(stage.name, {**others, **values}), asked)
            try:
                found.append(definition.review(watched))
            except ConfigError as error:
                raise _located(error, space, varied, asked) from None
        # What the model asks for may depend on what it saw: repeat until nothing new is asked for.
        more = [parameter for parameter in searched if parameter.key in asked and parameter not in varied]
        if not more:
            return found
        varied += more


def _combinations(parameters: list[SpaceParameter]) -> Iterator[dict[str, Any]]:
    options = [list(extremes(parameter)) for parameter in parameters]
    if math.prod(map(len, options)) > _MOST_COMBINATIONS:
        options = [[values[0], values[-1]] if len(values) > 1 else values for values in options]
    names = [parameter.name for parameter in parameters]
    for combination in itertools.islice(itertools.product(*options), _MOST_COMBINATIONS):
        yield dict(zip(names, combination, strict=True))


def _located(
    error: ConfigError, space: SearchSpace, varied: list[SpaceParameter], asked: set[str]
) -> ConfigError | SpaceError:
    """The model's complaint with the line of the searched parameter that it is about."""
    candidates = varied or [parameter for parameter in space.parameters if parameter.key in asked]
    about = next((parameter for parameter in candidates if parameter.key in str(error)), None)
    if about is None:
        return error
    column = None if about.line is None else 1
    fix = "Every combination of the space must fit: change its values, or what is fixed."
    return SpaceError(str(error), fix, file=space.file, line=about.line, column=column)


class _Watched(Mapping[str, Any]):
    """Notes which keys are read."""

    def __init__(self, config: Config, asked: set[str]) -> None:
        self._config, self._asked = config, asked

    def __getitem__(self, key: str) -> Any:
        self._asked.add(key)
        return self._config[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._config)

    def __len__(self) -> int:
        return len(self._config)
