"""From a specification to what will run: the model, the merged configuration, the space, the grid's order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from model import registry
from model.config import Config, load_config
from model.defaults import DATA
from model.definition import ModelDefinition, Stage, stage_key
from model.parameters import Parameter
from tuner.errors import SpecificationError
from tuner.space import SearchSpace, SpaceParameter
from tuner.space.check import as_configured
from tuner.specification import GIVEN, StudySpecification

# A shared stage keeps at most so many checkpoints on the chance that a sampler asks for them.
_MOST_KEPT_EPOCHS = 20
# Keys that change what is read and how it is split, and so a stage's data.
_DATA_KEYS = frozenset(parameter.name for parameter in DATA) | {"eval_args"}
# Stands for the chain of trials that share nothing where all are put in order.
_NOTHING_SHARED = (("", 0),)


@dataclass(frozen=True)
class Link:
    """A shared stage as one trial needs it, a link of the chain that ends with the trial's own stage.

    Attributes:
        key: what identifies the stage's weights; it holds the key and the epochs of the link before.
        epochs: how far the stage must have been trained.
    """

    stage: Stage
    config: Config
    key: str
    epochs: int


@dataclass(frozen=True)
class GridPoint:
    """One combination of an exhaustive search, in Optuna's representation.

    Attributes:
        chain: group and epochs of every shared stage that it needs, in their order. Combinations that agree on
            a group share that stage; those that share the last one share all.
    """

    parameters: dict[str, Any]
    chain: tuple[tuple[str, int], ...] = ()

    @property
    def group_key(self) -> str | None:
        """The group of the last shared stage; None where nothing is shared."""
        return self.chain[-1][0] if self.chain else None

    @property
    def stage_epochs(self) -> int | None:
        """Epochs of the last shared stage that it needs."""
        return self.chain[-1][1] if self.chain else None


@dataclass(frozen=True)
class Plan:
    """What a study's trials are made of. Both who creates a study and who runs a trial start from it."""

    specification: StudySpecification
    definition: ModelDefinition
    schema: Mapping[str, Parameter]
    config: Config
    space: SearchSpace

    @cached_property
    def fixed(self) -> Config:
        """What is fixed, as the stage reads it whose validation decides."""
        return self.config.for_stage(self.own_stage.name)

    @property
    def metric(self) -> str:
        """The objective's name, as in results: lower case."""
        return str(self.fixed["valid_metric"]).lower()

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        return "maximize" if self.fixed.get("valid_metric_bigger", True) else "minimize"

    @property
    def own_stage(self) -> Stage:
        """The stage whose validation decides a trial's value."""
        return self.definition.stages[-1]

    def epoch_choices(self, stage: Stage) -> set[int]:
        """Lengths of a shared stage that trials may ask for, when the space lists them."""
        for parameter in self.space.parameters:
            listed = parameter.size is not None and parameter.size <= _MOST_KEPT_EPOCHS
            if parameter.key == stage.epochs_key and listed:
                return {int(parameter.value(represented)) for represented in parameter.represented()}
        return set()

    def stage_config(self, stage: Stage, parameters: Mapping[str, Any]) -> Config:
        """The configuration of one stage of the trial with ``parameters`` (Optuna's representation)."""
        return self.config.for_stage(stage.name, self.space.values(parameters))

    def identity(self, parameters: Mapping[str, Any]) -> str:
        """Parameters as the configuration reads them: trials for which it is equal are the same training.

        Raises:
            SpaceError: they are not of this space.
        """
        values = self.space.values(parameters)
        declared = {name: self.schema[name.rpartition(".")[2]] for name in values}
        read = {name: declared[name].check(as_configured(value, declared[name])) for name, value in values.items()}
        return json.dumps(read, sort_keys=True, default=str)

    def given_checkpoint(self, own: Config) -> Path | None:
        """The pretrained model that a trial names, whose own stage has the configuration ``own``."""
        path = own.get(GIVEN)
        return Path(str(path)) if path else None

    def chain(self, config_of: Callable[[Stage], Config], fingerprint: str) -> tuple[Link, ...]:
        """The shared stages that a trial goes through before its own; none if it names a pretrained model.

        Args:
            config_of: gives the trial's configuration of a stage.
            fingerprint: the data set's.
        """
        if self.given_checkpoint(config_of(self.own_stage)) is not None:
            return ()
        links: list[Link] = []
        before: tuple[str, int] | None = None
        for stage in self.definition.shared_stages:
            config = config_of(stage)
            key = stage_key(self.definition, stage, config, fingerprint, self.schema, before)
            links.append(Link(stage, config, key, int(config[stage.epochs_key])))
            before = key, links[-1].epochs
        return tuple(links)

    def point(self, parameters: Mapping[str, Any]) -> GridPoint:
        """What is known of the trial with ``parameters`` before the data set was read."""
        values = self.space.values(parameters)
        # They stand for the fingerprint: values that shape the data set tell groups apart as well.
        others = {name: value for name, value in values.items() if name.rpartition(".")[2] in _DATA_KEYS}
        links = self.chain(lambda stage: self.config.for_stage(stage.name, values), json.dumps(others, sort_keys=True))
        return GridPoint(dict(parameters), tuple((link.key, link.epochs) for link in links))

    def grid(self, limit: int | None = None) -> list[GridPoint]:
        """Every combination once, in the order in which shared stages are trained least and results come early.

        Combinations that share a stage follow each other, shortest first: each continues where the one before
        it ended. Within one length of it, the same holds for the next shared stage.
        """
        points = list(islice(self._points(), limit))
        places: dict[str, int] = {}
        for place, point in enumerate(points):
            for group, _ in point.chain or _NOTHING_SHARED:
                places.setdefault(group, place)
        return sorted(
            points, key=lambda point: [(places[group], epochs) for group, epochs in point.chain or _NOTHING_SHARED]
        )

    def _points(self) -> Iterator[GridPoint]:
        shaping = self._shaping_names()
        known: dict[str, tuple[tuple[str, int], ...]] = {}
        for parameters in self.space.combinations():
            # Many combinations differ only in what follows; their configuration needs to be made once.
            shared = json.dumps({name: parameters[name] for name in shaping}, sort_keys=True)
            if shared not in known:
                known[shared] = self.point(parameters).chain
            yield GridPoint(parameters, known[shared])

    def _shaping_names(self) -> list[str]:
        """Searched parameters that decide which shared stages a trial needs, and how many epochs of them."""
        return [parameter.name for parameter in self.space.parameters if self._shapes_chain(parameter)]

    def _shapes_chain(self, searched: SpaceParameter) -> bool:
        key, declared = searched.key, self.schema[searched.key]
        if key == GIVEN or key in _DATA_KEYS:
            return True
        stages = [stage for stage in self.definition.shared_stages if searched.stage in (None, stage.name)]
        return any(declared.shapes(stage.name) or key in (stage.epochs_key, "seed") for stage in stages)


def make_plan(specification: StudySpecification) -> Plan:
    """Read a specification, check it and say what it means.

    Raises:
        SpaceError, ConfigError: what is wrong, where, and what to write instead.
        SpecificationError: the model has nothing to train, or its stages can't be run as trials.
    """
    config = load_config(specification.model, specification.dataset, config_dict=specification.config)
    space = SearchSpace.from_json(specification.space)
    check_searched(config, space)
    return planned(specification, config, space)


def planned(specification: StudySpecification, config: Config, space: SearchSpace) -> Plan:
    """The plan of a specification that was read and checked: ``config`` and ``space`` say what it says."""
    return Plan(specification, registry.get_model(config.model), registry.parameters_of(config.model), config, space)


def check_searched(config: Config, space: SearchSpace) -> None:
    """Check that a model can be trained with what is fixed and what is searched.

    Raises:
        SpaceError, SpecificationError: as :func:`make_plan`.
    """
    definition = registry.get_model(config.model)
    if not definition.stages:
        trained = ", ".join(name for name in registry.model_names() if registry.get_model(name).stages)
        raise SpecificationError(f"model = {definition.name!r}: there is nothing to train or to search. Use {trained}.")
    _check_stages(definition)
    space.check(registry.parameters_of(config.model), fixed=config.given)
    _check_one_data_set(config)


def _check_stages(definition: ModelDefinition) -> None:
    """Refuse stages that are no chain of shared ones that ends with one that has a score."""
    for stage in definition.shared_stages:
        if stage.validates:
            raise SpecificationError(
                f"model = {definition.name!r}: its stage {stage.name} validates, and only the last one may, "
                f"here {definition.stages[-1].name}: what comes before it is trained once for many trials. Declare "
                f"{stage.name} with validates=False, or make two models of it."
            )
    last = definition.stages[-1]
    if not last.validates:
        raise SpecificationError(
            f"model = {definition.name!r}: its last stage {last.name} does not validate, so that no trial would have "
            "a value. Declare it with validates=True."
        )
    names = [stage.name for stage in definition.stages]
    if len(set(names)) < len(names):
        raise SpecificationError(f"model = {definition.name!r}: two of its stages have one name: {', '.join(names)}.")


def _check_one_data_set(config: Config) -> None:
    """Refuse data settings of a single stage: a trial's stages all read the data set that its own stage reads."""
    for name in config.given:
        stage, dot, key = name.rpartition(".")
        if dot and key in _DATA_KEYS:
            raise SpecificationError(
                f"{name}: all stages of a trial read one data set, so {key} can't be set for {stage} alone. "
                f"Write {key}."
            )
