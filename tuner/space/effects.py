"""Names, given or searched, that no trial of a study reads: what hides them, or why nothing comes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.config import Config
    from model.definition import ModelDefinition
    from model.parameters import Parameter
    from tuner.space.space import SearchSpace

# The key that names a model trained before, in the place of the stages before the last.
_GIVEN = "pre_model_path"


def remarks_on_effects(
    space: SearchSpace, definition: ModelDefinition, schema: Mapping[str, Parameter], config: Config
) -> Iterator[str]:
    """Remarks about names that change nothing in any trial, whatever their values.

    A stage reads the first there is of: its own searched name, the searched name without a stage, its own given one,
    the given one without a stage.
    """
    searched = set(space.names)
    told = [name for name in dict.fromkeys((*config.given, *space.names)) if name.rpartition(".")[2] in schema]
    skipped = _skipped(definition, config, searched)
    for name in told:
        scope, _, key = name.rpartition(".")
        declared = schema[key]
        stages = [stage for stage in _concerned(definition, declared) if scope in ("", stage)]
        if name in searched and declared.without_effect:
            yield f"{name} has no effect in a study: {declared.without_effect}."
        elif not stages:
            shaped = " and ".join(_concerned(definition, declared))
            yield f"{name} has no effect: {key} concerns {shaped or 'no stage'}."
        elif skipped.issuperset(stages):
            yield f"{name} has no effect: {_GIVEN} names a trained model in the place of {' and '.join(stages)}."
        else:
            readers = {_reader(key, stage, searched, config) for stage in stages if stage not in skipped}
            if name not in readers:
                verb = "is" if len(readers) == 1 else "are"
                yield f"{name} has no effect: {' and '.join(sorted(readers))} {verb} read in its place."


def _concerned(definition: ModelDefinition, declared: Parameter) -> list[str]:
    """Stages that a key says something to."""
    names = [stage.name for stage in definition.stages]
    of_epochs = [stage.name for stage in definition.stages if stage.epochs_key == declared.name]
    return of_epochs or [name for name in names if declared.shapes(name)] or ([] if declared.stages else names)


def _skipped(definition: ModelDefinition, config: Config, searched: set[str]) -> set[str]:
    """Stages that no trial runs, because the configuration names their result."""
    if not definition.stages or any(name.rpartition(".")[2] == _GIVEN for name in searched):
        return set()
    given = config.for_stage(definition.stages[-1].name).get(_GIVEN)
    return {stage.name for stage in definition.stages[:-1]} if given else set()


def _reader(key: str, stage: str, searched: set[str], config: Config) -> str:
    """The name whose value ``stage`` reads for ``key``."""
    own = f"{stage}.{key}"
    return next(name for source in (searched, config.given) for name in (own, key) if name in source)
