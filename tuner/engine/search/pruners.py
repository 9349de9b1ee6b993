"""Pruners by name; the resource is the number of finished epochs of the validated stage (finetuning)."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)

from tuner.engine.search.ladder import NAME as ASHA_PROMOTION
from tuner.engine.search.ladder import Ladder
from tuner.errors import SpecificationError
from tuner.specification import PrunerSpecification


def _patient(patience: int = 3, min_delta: float = 0.0) -> BasePruner:
    """Prunes when a trial's own best did not improve for ``patience`` epochs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PatientPruner(None, patience, min_delta)


def _percentile(
    percentile: float = 25.0, n_startup_trials: int = 5, n_warmup_steps: int = 0, interval_steps: int = 1
) -> BasePruner:
    return PercentilePruner(percentile, n_startup_trials, n_warmup_steps, interval_steps)


def _promotion(min_resource: int = 1, reduction_factor: int = 3) -> BasePruner:
    """Trials pause instead (:mod:`tuner.engine.course.promotion`); none is pruned before the study ends."""
    Ladder(min_resource, reduction_factor)
    return NopPruner()


BUILDERS: dict[str, Callable[..., BasePruner]] = {
    "none": NopPruner,
    "median": MedianPruner,
    "percentile": _percentile,
    "successive_halving": SuccessiveHalvingPruner,
    "hyperband": HyperbandPruner,
    "patient": _patient,
    ASHA_PROMOTION: _promotion,
}


def choose(specification: PrunerSpecification) -> dict[str, Any]:
    """The pruner as a study records it: ``{"name", "options"}`` with every option spelled out.

    Raises:
        SpecificationError: an option that the pruner does not have or accept.
    """
    name, options = specification.name, specification.options
    declared = inspect.signature(BUILDERS[name]).parameters
    if unknown := sorted(set(options) - set(declared)):
        known = f"It has {', '.join(declared)}." if declared else "It has none."
        raise SpecificationError(f"The pruner {name} has no option {unknown[0]}. {known}")
    complete = {option: parameter.default for option, parameter in declared.items()} | options
    record = {"name": name, "options": complete}
    try:
        build(record)
    except (TypeError, ValueError) as error:
        raise SpecificationError(f"The pruner {name} does not accept these options: {error}") from error
    return record


def build(record: Mapping[str, Any]) -> BasePruner:
    """The pruner of a study's record."""
    return BUILDERS[record["name"]](**record["options"])
