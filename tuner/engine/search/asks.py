"""How a sampler is asked: with exactly the trials that the ask records, so that it can be repeated.

An ask never looks at the storage, where other workers write at the same time. It gets a study of its own in
memory that holds the trials of its :class:`Sight` at their numbers, and everything else as nobody's. The same
sight and seed therefore give the same parameters, whenever and wherever.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.pruners import BasePruner
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, create_trial
from optuna.trial import TrialState as OptunaState

from tuner.engine.search import samplers
from tuner.engine.search.optuna_log import optuna_quiet
from tuner.store.confirmations import trial_confirms
from tuner.store.trial_outcome import REACHED, RUNNING, SEEN

_FINISHED = (OptunaState.COMPLETE, OptunaState.PRUNED)


@dataclass(frozen=True)
class Sight:
    """The trials that one ask was shown.

    Attributes:
        seen: numbers of finished trials.
        running: numbers of trials that had their parameters, but no result.
        reached: number -> epoch, of unfinished trials that had reached a rung of successive halving: they count
            as pruned at that epoch.
    """

    seen: frozenset[int]
    running: frozenset[int] = frozenset()
    reached: Mapping[int, int] = field(default_factory=dict)

    @property
    def attributes(self) -> dict[str, Any]:
        """As user attributes; ``seen`` is last, so that a trial that has it has them all."""
        reached = {str(number): epoch for number, epoch in sorted(self.reached.items())}
        head: dict[str, Any] = {RUNNING: as_ranges(self.running)}
        return head | ({REACHED: reached} if reached else {}) | {SEEN: as_ranges(self.seen)}

    @classmethod
    def recorded(cls, trial: FrozenTrial) -> Sight | None:
        """What the trial's ask was shown, None for a trial that was not asked for."""
        attributes = trial.user_attrs
        if SEEN not in attributes:
            return None
        reached = {int(number): int(epoch) for number, epoch in attributes.get(REACHED, {}).items()}
        return cls(from_ranges(attributes[SEEN]), from_ranges(attributes.get(RUNNING, "")), reached)


def look(
    trials: Sequence[FrozenTrial], asking: int, names: Sequence[str], reached: Mapping[int, int] | None = None
) -> Sight:
    """What an ask for trial ``asking`` is shown of ``trials``; confirmations are nothing to choose by.

    Args:
        names: the searched parameters.
        reached: number -> epoch of unfinished trials that have reached a rung.
    """
    others = [trial for trial in trials if trial.number != asking and not trial_confirms(trial.user_attrs)]
    seen = frozenset(trial.number for trial in others if trial.state in _FINISHED)
    begun = {
        trial.number for trial in others if trial.state is OptunaState.RUNNING and trial.params.keys() >= set(names)
    }
    waiting = {number: epoch for number, epoch in (reached or {}).items() if number in begun}
    return Sight(seen, frozenset(begun - waiting.keys()), waiting)


@dataclass(frozen=True)
class Asker:
    """All of a study that its asks depend on.

    Attributes:
        sampler: the study's record of it.
        seed: the study's.
    """

    study_name: str
    direction: StudyDirection
    sampler: Mapping[str, Any]
    pruner: BasePruner
    distributions: Mapping[str, BaseDistribution]
    seed: int

    def ask(self, number: int, sight: Sight, trials: Sequence[FrozenTrial]) -> Answer:
        """The parameters that the sampler chooses for trial ``number``, shown ``sight`` of ``trials``."""
        with optuna_quiet(logging.ERROR):  # nothing about studies in memory, or parameters drawn at random
            storage = _View(number, _shown(sight, trials))
            study = optuna.create_study(
                storage=storage,
                study_name=self.study_name,
                direction=self.direction,
                sampler=samplers.build(self.sampler, self.seed, number),
                pruner=self.pruner,
            )
            trial_id = storage.create_new_trial(storage.get_study_id_from_name(self.study_name))
            trial = Trial(study, trial_id)
            for name, distribution in self.distributions.items():
                _suggest(trial, name, distribution)
            notes = storage.get_trial(trial_id).system_attrs
            return Answer(trial.params, notes if samplers.KINDS[self.sampler["name"]].takes_notes else {})


@dataclass(frozen=True)
class Answer:
    """Parameters in Optuna's representation, and system attributes that later asks will need."""

    params: dict[str, Any]
    notes: dict[str, Any]


def as_ranges(numbers: Iterable[int]) -> str:
    """Whole numbers as text, runs joined: 0-3,5."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def from_ranges(text: str) -> frozenset[int]:
    """The numbers that :func:`as_ranges` wrote."""
    numbers: set[int] = set()
    for run in filter(None, text.split(",")):
        first, _, last = run.partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


class _View(InMemoryStorage):
    """A study of one trial of that number, which sees others that are not in it."""

    def __init__(self, number: int, shown: Sequence[FrozenTrial]) -> None:
        super().__init__()
        self._number, self._shown = number, shown

    def get_trial(self, trial_id: int) -> FrozenTrial:
        trial = copy.copy(super().get_trial(trial_id))
        trial.number = self._number
        return trial

    def get_trial_number_from_id(self, trial_id: int) -> int:  # noqa: ARG002
        return self._number

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[OptunaState] | None = None,
    ) -> list[FrozenTrial]:
        own = [self.get_trial(trial._trial_id) for trial in super().get_all_trials(study_id, deepcopy=False)]
        together = sorted([*self._shown, *own], key=lambda trial: trial.number)
        chosen = [trial for trial in together if states is None or trial.state in states]
        return copy.deepcopy(chosen) if deepcopy else chosen


def _shown(sight: Sight, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials as the ask saw them: what happened since to those that ran is taken back."""
    shown = []
    for trial in trials:
        if trial.number in sight.seen:
            shown.append(trial)
        elif trial.number in sight.running:
            shown.append(_as_it_was(trial, OptunaState.RUNNING, {}))
        elif trial.number in sight.reached:
            until = sight.reached[trial.number]
            scores = {epoch: score for epoch, score in trial.intermediate_values.items() if epoch <= until}
            shown.append(_as_it_was(trial, OptunaState.PRUNED, scores))
    return shown


def _as_it_was(trial: FrozenTrial, state: OptunaState, scores: Mapping[int, float]) -> FrozenTrial:
    before = create_trial(
        state=state,
        values=[scores[max(scores)]] if scores else None,
        params=trial.params,
        distributions=trial.distributions,
        system_attrs=trial.system_attrs,
        intermediate_values=dict(scores),
    )
    before.number = trial.number
    return before


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> None:
    match distribution:
        case CategoricalDistribution():
            trial.suggest_categorical(name, distribution.choices)
        case FloatDistribution():
            trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
        case _:
            raise AssertionError(f"a search space has no {type(distribution).__name__}")
