"""Optuna's side of a trial: begun exactly once, reported to; ended in :mod:`tuner.engine.course.trial_ending`.

What is in the user attributes of our trials, :mod:`tuner.store.trial_outcome` says. Intermediate values are the
validation scores; the step is the epoch of the trial's own stage, from 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, create_trial
from optuna.trial import TrialState as OptunaState

from tuner.engine.plan import Plan
from tuner.engine.search import pruners
from tuner.engine.search.asks import Asker, Sight, look
from tuner.engine.search.ladder import NAME as ASHA_PROMOTION
from tuner.store import Database
from tuner.store import rungs as rung_rows
from tuner.store.claims import Claim
from tuner.store.confirmations import trial_of_the_search
from tuner.store.tables import Study
from tuner.store.trial_outcome import CONFIRMS, INPUTS, SAME_AS, SEED, SLOT


@dataclass
class OptunaTrial:
    """One trial in Optuna's storage.

    Attributes:
        ended: the state in which an earlier attempt has ended it already, else None.
    """

    number: int
    params: dict[str, Any]
    ended: OptunaState | None
    _trial: Trial | None
    _reported: set[int]

    def report(self, score: float, epoch: int) -> None:
        """Report the validation score after ``epoch`` epochs; a repeated report changes nothing."""
        if self._trial is not None and epoch not in self._reported:
            self._trial.report(score, epoch)
            self._reported.add(epoch)

    def note_inputs(self, inputs: dict[str, str]) -> None:
        """Record what the trial is trained on, see :class:`tuner.store.trial_outcome.TrialOutcome`."""
        if self._trial is not None:
            self._trial.set_user_attr(INPUTS, inputs)

    def should_prune(self) -> bool:
        return self._trial is not None and self._trial.should_prune()


class OptunaTrials:
    """The trials of one study."""

    def __init__(self, database: Database, study: Study, plan: Plan) -> None:
        self._database, self._row = database, study
        self._storage = database.storage
        self._plan = plan
        self._tried: set[int] = set()
        self._identities: dict[int, str] = {}
        self._study = optuna.load_study(
            study_name=study.optuna_name,
            storage=database.storage,
            sampler=optuna.samplers.RandomSampler(seed=0),  # never asked: see Asker
            pruner=pruners.build(study.pruner),
        )
        self._study_id = database.storage.get_study_id_from_name(study.optuna_name)
        self._asker = asker(study, plan)

    def begin(self, claim: Claim) -> int:
        """The number of the claim's trial, which is created unless an earlier attempt did.

        The trial is created together with its mark (and a grid's parameters) in one transaction, so that a
        worker that dies right after leaves a trial that the next attempt finds.
        """
        if claim.optuna_number is not None:
            return claim.optuna_number
        # This process too may have created it, if the database went away before it answered.
        tried = claim.attempt > 1 or claim.slot_id in self._tried
        self._tried.add(claim.slot_id)
        if tried and (left := self._find(claim.slot_id)) is not None:
            return left.number
        parameters = claim.parameters or {}
        distributions = self._plan.space.distributions()
        confirmed = {} if claim.confirms is None else {CONFIRMS: claim.confirms, SEED: claim.seed}
        template = create_trial(
            state=OptunaState.RUNNING,
            params=parameters,
            distributions={name: distributions[name] for name in parameters},
            user_attrs={SLOT: claim.slot_id, **confirmed},
        )
        # Study.add_trial does the same, but does not say which trial it made.
        trial_id = self._storage.create_new_trial(self._study_id, template)
        return self._storage.get_trial_number_from_id(trial_id)

    def trained_alike(self, trial: OptunaTrial) -> list[FrozenTrial]:
        """The completed trials of the search that were trained with the parameters of ``trial``, in their order."""
        wanted = self._plan.identity(trial.params)
        completed = self._study.get_trials(deepcopy=False, states=(OptunaState.COMPLETE,))
        alike = []
        for other in of_the_search(completed):
            if SAME_AS in other.user_attrs or other.number == trial.number:
                continue
            if other.number not in self._identities:
                self._identities[other.number] = self._plan.identity(other.params)
            if self._identities[other.number] == wanted:
                alike.append(other)
        return alike

    def open(self, number: int) -> OptunaTrial:
        """Trial ``number`` with all its parameters; those it lacks are chosen by the study's sampler."""
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        frozen = self._storage.get_trial(trial_id)
        reported = set(frozen.intermediate_values)
        if frozen.state.is_finished():
            return OptunaTrial(number, frozen.params, frozen.state, None, reported)
        if any(name not in frozen.params for name in self._plan.space.names):
            self._ask(trial_id, frozen)
        trial = Trial(self._study, trial_id)
        return OptunaTrial(number, trial.params, None, trial, reported)

    def _ask(self, trial_id: int, trial: FrozenTrial) -> None:
        """Let the sampler choose. What it was shown is written first: who has to repeat it gets the same answer."""
        trials = self._study.get_trials(deepcopy=False)
        sight = Sight.recorded(trial)
        if sight is None:
            sight = look(trials, trial.number, self._plan.space.names, self._reached())
            for name, attribute in sight.attributes.items():
                self._storage.set_trial_user_attr(trial_id, name, attribute)
        answer = self._asker.ask(trial.number, sight, trials)
        for name, note in answer.notes.items():
            self._storage.set_trial_system_attr(trial_id, name, note)
        for name, distribution in self._asker.distributions.items():
            if name not in trial.params:
                value = distribution.to_internal_repr(answer.params[name])
                self._storage.set_trial_param(trial_id, name, value, distribution)

    def _reached(self) -> dict[int, int]:
        if self._row.pruner["name"] != ASHA_PROMOTION:
            return {}
        with self._database.session() as session:
            return rung_rows.reached(session, self._row.id)

    def _find(self, slot_id: int) -> FrozenTrial | None:
        for trial in self._study.get_trials(deepcopy=False):
            if trial.user_attrs.get(SLOT) == slot_id:
                return trial
        return None


def asker(study: Study, plan: Plan) -> Asker:
    """What the asks of a study depend on."""
    return Asker(
        study.optuna_name,
        StudyDirection.MAXIMIZE if study.direction == "maximize" else StudyDirection.MINIMIZE,
        study.sampler,
        pruners.build(study.pruner),
        plan.space.distributions(),
        plan.specification.seed,
    )


def of_the_search(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Trials in which the study itself looked for the best: not those it began from, and no confirmations."""
    return [trial for trial in trials if trial_of_the_search(trial.user_attrs)]
