"""From a specification to what will run: the model, the merged configuration, the space, the grid's order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from model import registry
from model.config import Config, load_config
from model.defaults import DATA
from model.parameters import Parameter
from model.recommender import ModelDefinition, Stage, stage_key
from tuner.errors import SpecificationError
from tuner.space import SearchSpace
from tuner.specification import StudySpecification

# A shared stage keeps at most so many checkpoints on the chance that a sampler asks for them.
_MOST_KEPT_EPOCHS = 20
# Keys that change what is read and how it is split, and so a stage's data.
_DATA_KEYS = frozenset(parameter.name for parameter in DATA) | {"eval_args"}


@dataclass(frozen=True)
class GridPoint:
    """One combination of an exhaustive search, in Optuna's representation.

    Attributes:
        group_key: combinations that agree on it share their pretraining; None for a model without a shared
            stage.
        stage_epochs: epochs of the shared stage that it needs.
    """

    parameters: dict[str, Any]
    group_key: str | None
    stage_epochs: int | None


@dataclass(frozen=True)
class Plan:
    """What a study's trials are made of. Both who creates a study and who runs a trial start from it."""

    specification: StudySpecification
    definition: ModelDefinition
    schema: Mapping[str, Parameter]
    config: Config
    space: SearchSpace

    @property
    def metric(self) -> str:
        """The objective's name, as in results: lower case."""
        return str(self.config["valid_metric"]).lower()

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        return "maximize" if self.config.get("valid_metric_bigger", True) else "minimize"

    @property
    def shared_stage(self) -> Stage | None:
        """The stage that trials share, if the model has one and no checkpoint was given in its place."""
        first = self.definition.stages[0]
        return None if first.validates or self.given_checkpoint is not None else first

    @property
    def shared_epoch_choices(self) -> set[int]:
        """Lengths of the shared stage that trials may ask for, when the space lists them."""
        stage = self.shared_stage
        if stage is None:
            return set()
        for parameter in self.space.parameters:
            listed = parameter.size is not None and parameter.size <= _MOST_KEPT_EPOCHS
            if parameter.key == stage.epochs_key and listed:
                return {int(parameter.value(represented)) for represented in parameter.represented()}
        return set()

    @property
    def own_stage(self) -> Stage:
        """The stage whose validation decides a trial's value."""
        return self.definition.stages[-1]

    @property
    def given_checkpoint(self) -> Path | None:
        """A pretrained model that the configuration names; nothing is pretrained then."""
        path = self.config.get("pre_model_path")
        return Path(str(path)) if path else None

    def stage_config(self, stage: Stage, parameters: Mapping[str, Any]) -> Config:
        """The configuration of one stage of the trial with ``parameters`` (Optuna's representation)."""
        return self.config.for_stage(stage.name, self.space.values(parameters))

    def group_key(self, stage: Stage, parameters: Mapping[str, Any]) -> str:
        """What is known of the stage's key before the data set was read.

        Searched values that shape the data set tell groups apart as well.
        """
        values = self.space.values(parameters)
        others = {name: value for name, value in values.items() if name.rpartition(".")[2] in _DATA_KEYS}
        text = json.dumps(others, sort_keys=True)
        config = self.config.for_stage(stage.name, values)
        return stage_key(self.definition, stage, config, text, dict(self.schema))

    def grid(self, limit: int | None = None) -> list[GridPoint]:
        """Every combination once, in the order in which pretraining is shared best.

        Combinations that share a pretraining follow each other, shortest first: each continues where the one
        before it ended, and the first results come early.
        """
        groups: dict[str | None, list[GridPoint]] = {}
        for point in islice(self._points(), limit):
            groups.setdefault(point.group_key, []).append(point)
        return [
            point for group in groups.values() for point in sorted(group, key=lambda point: point.stage_epochs or 0)
        ]

    def _points(self) -> Iterator[GridPoint]:
        stage = self.shared_stage
        shaping = [] if stage is None else self._shaping_names(stage)
        known: dict[str, tuple[str, int]] = {}
        for parameters in self.space.combinations():
            if stage is None:
                yield GridPoint(parameters, None, None)
                continue
            # Many combinations differ only in what follows; their configuration needs to be made once.
            shared = json.dumps({name: parameters[name] for name in shaping}, sort_keys=True)
            if shared not in known:
                epochs = int(self.stage_config(stage, parameters)[stage.epochs_key])
                known[shared] = (self.group_key(stage, parameters), epochs)
            yield GridPoint(parameters, *known[shared])

    def _shaping_names(self, stage: Stage) -> list[str]:
        """Searched parameters that decide the group or the number of epochs of ``stage``."""
        names = []
        for parameter in self.space.parameters:
            declared = self.schema[parameter.key]
            if parameter.stage not in (None, stage.name):
                continue
            shapes_data = parameter.key in _DATA_KEYS
            if shapes_data or declared.shapes(stage.name) or parameter.key == stage.epochs_key:
                names.append(parameter.name)
        return names


def make_plan(specification: StudySpecification) -> Plan:
    """Check a specification and say what it means.

    Raises:
        SpaceError, ConfigError: what is wrong, where, and what to write instead.
        SpecificationError: the model has nothing to train.
    """
    definition = registry.get_model(specification.model)
    if not definition.stages:
        trained = ", ".join(name for name in registry.model_names() if registry.get_model(name).stages)
        raise SpecificationError(f"model = {definition.name!r}: there is nothing to train or to search. Use {trained}.")
    schema = registry.parameters_of(specification.model)
    space = SearchSpace.from_json(specification.space)
    config = load_config(specification.model, specification.dataset, config_dict=specification.config)
    space.check(schema, fixed=config.given)
    return Plan(specification, definition, schema, config, space)
