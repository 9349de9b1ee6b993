"""Samplers by name.

A study records its sampler with every option spelled out, so that it goes on as it began when a new version
of Optuna has other defaults. Each ask gets a sampler of its own, seeded by (study seed, trial number): which
worker asks, and what it asked before, has no influence.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import FrozenTrial

from model.randomness import derive_seed
from tuner.errors import SpecificationError
from tuner.space import SearchSpace
from tuner.specification import StudySpecification

EXHAUSTIVE = "exhaustive"
# More combinations than this are not written down one by one.
GRID_LIMIT = 20_000
# Trials of a study that names no number.
DEFAULT_TRIALS = 100


class _Rounding(RandomSampler):
    """Draws a quniform as RecBole does: between the bounds as declared, then rounded.

    Optuna's distribution knows the multiples alone and gives each the same chance; RecBole gives the first and
    the last the chance of the part of a step that lies within the bounds, mostly a half.
    """

    def __init__(self, *, rounded: Mapping[str, tuple[float, float]] | None = None, seed: int) -> None:
        super().__init__(seed)
        self._rounded = rounded or {}

    def sample_independent(
        self, study: Any, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if param_name not in self._rounded:
            return super().sample_independent(study, trial, param_name, param_distribution)
        steps = cast(FloatDistribution, param_distribution)
        step = cast(float, steps.step)
        between = FloatDistribution(*self._rounded[param_name])
        drawn = super().sample_independent(study, trial, param_name, between)
        multiple = float(round(drawn / step) * Decimal(str(step)))
        return min(max(multiple, steps.low), steps.high)


class _Sequence(QMCSampler):
    """Trial n gets point n. Optuna counts points in the storage, and two workers may get the same one."""

    def __init__(self, *, number: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self._number = number

    def _find_sample_id(self, study: Any, search_space: dict[str, BaseDistribution]) -> int:  # noqa: ARG002
        return self._number


@dataclass(frozen=True)
class Kind:
    """A sampler that can be named.

    Attributes:
        build: Optuna's class.
        options: its options that a specification may set.
        sequence: whether all trials draw from one sequence, with one seed, each the point of its number.
        takes_notes: whether it leaves system attributes with a trial that later asks need.
        made_by: where the options are declared, unless that is ``build``.
    """

    build: Callable[..., BaseSampler]
    options: tuple[str, ...] = ()
    sequence: bool = False
    takes_notes: bool = False
    made_by: Callable[..., BaseSampler] | None = None


KINDS: dict[str, Kind] = {
    "random": Kind(_Rounding),
    "tpe": Kind(TPESampler, ("n_startup_trials", "n_ei_candidates", "multivariate", "group", "constant_liar")),
    "gp": Kind(GPSampler, ("n_startup_trials", "deterministic_objective")),
    "cmaes": Kind(
        CmaEsSampler,
        ("n_startup_trials", "sigma0", "popsize", "consider_pruned_trials", "with_margin", "lr_adapt"),
        takes_notes=True,
    ),
    "qmc": Kind(_Sequence, ("qmc_type", "scramble"), sequence=True, made_by=QMCSampler),
}

# Options that we set where Optuna leaves the choice to itself.
_OURS: dict[str, dict[str, Any]] = {"tpe": {"multivariate": True, "constant_liar": True}}


@dataclass(frozen=True)
class Choice:
    """A sampler as a study records it, with the trial budget that goes with it."""

    name: str
    options: dict[str, Any]
    max_trials: int

    @property
    def record(self) -> dict[str, Any]:
        return {"name": self.name, "options": self.options}


def choose(specification: StudySpecification, space: SearchSpace) -> Choice:
    """The sampler and trial budget that a specification means.

    Raises:
        SpecificationError: exhaustive over an endless or huge space, or an option that the sampler does not
            have or accept.
    """
    name: str = specification.sampler.name
    options = specification.sampler.options
    if not space.parameters:
        name = EXHAUSTIVE if name == "auto" else name
    if name == "auto":
        name = EXHAUSTIVE if _grid_fits(space, specification.max_trials) else "tpe"
    if name == EXHAUSTIVE:
        _check_exhaustive(space, options)
        size = space.size or 1
        return Choice(name, {}, min(size, specification.max_trials or size))
    complete = _checked_options(name, options)
    if name == "random" and (rounded := _rounded(space)):
        complete["rounded"] = rounded
    return Choice(name, complete, specification.max_trials or min(space.size or DEFAULT_TRIALS, DEFAULT_TRIALS))


def build(record: Mapping[str, Any], seed: int, number: int) -> BaseSampler:
    """The sampler that chooses trial ``number``'s parameters, from a study's record of it."""
    kind = KINDS[record["name"]]
    options = record["options"] | ({"number": number} if kind.sequence else {})
    names = ("sampler",) if kind.sequence else ("sampler", number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return kind.build(**options, seed=derive_seed(seed, *names) % 2**32)


def _rounded(space: SearchSpace) -> dict[str, list[float]]:
    """Bounds of the quniforms as declared. Studies from before this was recorded draw each multiple alike."""
    return {
        parameter.name: [cast(float, parameter.low), cast(float, parameter.high)]
        for parameter in space.parameters
        if parameter.type == "quniform" and parameter.size != 1
    }


def _grid_fits(space: SearchSpace, max_trials: int | None) -> bool:
    return space.size is not None and space.size <= min(GRID_LIMIT, max_trials or GRID_LIMIT)


def _check_exhaustive(space: SearchSpace, options: Mapping[str, Any]) -> None:
    if options:
        raise SpecificationError(f"The exhaustive sampler has no options; found {', '.join(sorted(options))}.")
    endless = [parameter for parameter in space.parameters if parameter.size is None]
    if endless:
        first = endless[0]
        raise SpecificationError(
            f"An exhaustive search can't try every value of {first.name} ({first.type} {first.low:g},"
            f"{first.high:g}): there is no end of them. Make it a `choice [...]` or a `quniform`, or use the "
            "sampler random or tpe with max_trials."
        )
    if space.size is not None and space.size > GRID_LIMIT:
        raise SpecificationError(
            f"The space has {space.size} combinations, and an exhaustive search takes at most {GRID_LIMIT}. "
            "Shorten it, or use the sampler random or tpe with max_trials."
        )


def _checked_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    kind = KINDS[name]
    if unknown := sorted(set(options) - set(kind.options)):
        known = f"It has {', '.join(kind.options)}." if kind.options else "It has none."
        raise SpecificationError(f"The sampler {name} has no option {unknown[0]}. {known}")
    declared = inspect.signature(kind.made_by or kind.build).parameters
    complete = {option: declared[option].default for option in kind.options}
    complete |= _OURS.get(name, {}) | dict(options)
    try:
        build({"name": name, "options": complete}, seed=0, number=0)
    except (TypeError, ValueError) as error:
        raise SpecificationError(f"The sampler {name} does not accept these options: {error}") from error
    return complete
