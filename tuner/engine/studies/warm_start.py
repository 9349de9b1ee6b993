"""Beginning a study from what another one has found.

The other study's finished trials become trials of the new Optuna study before the first ask, so that the sampler
sees them like its own. They have no slots: they are no part of the budget, of the best value, or of the endings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from model.config import Config
from model.defaults import ENVIRONMENT
from tuner.engine.plan import Plan, make_plan
from tuner.errors import SpaceError, SpecificationError, StudyNotFound
from tuner.specification import StudySpecification
from tuner.store import Database
from tuner.store import studies as study_rows
from tuner.store.confirmations import trial_confirms
from tuner.store.tables import Study
from tuner.store.trial_outcome import WARM_START

# Samplers that choose by results.
LEARNING = ("tpe", "gp", "cmaes")

# How files are read, and what is reported, decides nothing about a value; how long histories are does, but as
# any other parameter of the model.
_INDIFFERENT = frozenset(
    {"data_path", "encoding", "field_separator", "seq_separator", "seq_len", "MAX_ITEM_LIST_LENGTH"}
    | {"load_col", "unload_col", "metrics", "topk", "eval_batch_size", "metric_decimal_place"}
)
_NOT_TRAINING = _INDIFFERENT | {parameter.name for parameter in ENVIRONMENT if parameter.name != "seed"}


@dataclass(frozen=True)
class WarmStart:
    """What a study begins from.

    Attributes:
        trials: to be added to the new Optuna study, in this order.
        notes: what the person who asked for it should know.
    """

    trials: tuple[FrozenTrial, ...]
    notes: tuple[str, ...]


def gather(database: Database, plan: Plan, sampler: str) -> WarmStart:
    """The trials that ``plan``'s study begins from; none if it does not ask for any.

    Raises:
        SpecificationError: there is no such study, its values mean something else, none of its trials fits, or
            the sampler would not look at them.
    """
    name = plan.specification.warm_start
    if name is None:
        return WarmStart((), ())
    if sampler not in LEARNING:
        raise SpecificationError(
            f"warm_start = {name!r}: the sampler {sampler} does not choose by results. Use {', '.join(LEARNING)}, "
            "or remove warm_start."
        )
    try:
        with database.session() as session:
            study = study_rows.find_study(session, name)
    except StudyNotFound:
        raise SpecificationError(f"warm_start = {name!r}: there is no such study. See `tuner study ls`.") from None
    source = make_plan(StudySpecification.model_validate(study.specification))
    _check_comparable(study, source, plan)
    return _fitting(database, study, source, plan)


def _check_comparable(study: Study, source: Plan, plan: Plan) -> None:
    """Refuse a study whose values can't be compared with the new one's."""
    pairs = [
        ("model", source.definition.name, plan.definition.name),
        ("dataset", source.specification.dataset, plan.specification.dataset),
        ("valid_metric", study.metric, plan.metric),
        ("direction", study.direction, plan.direction),
        *((key, source.fixed.get(key), plan.fixed.get(key)) for key in _judged(plan)),
    ]
    for key, theirs, ours in pairs:
        if theirs != ours:
            raise SpecificationError(
                f"warm_start = {study.name!r}: its values can't be compared with this study's, for its {key} is "
                f"{theirs!r} and this one's is {ours!r}. Begin from another study, or from none."
            )


def _judged(plan: Plan) -> Iterator[str]:
    """Keys that must agree: what decides what is measured, the model's own keys included."""
    for name, parameter in plan.schema.items():
        if parameter.measures and name not in _INDIFFERENT:
            yield name


def _fitting(database: Database, study: Study, source: Plan, plan: Plan) -> WarmStart:
    finished = optuna.load_study(study_name=study.optuna_name, storage=database.storage).get_trials(
        deepcopy=False, states=(OptunaState.COMPLETE, OptunaState.PRUNED)
    )
    candidates = [trial for trial in finished if trial.values and not trial_confirms(trial.user_attrs)]
    trials = [found for trial in candidates if (found := _translated(trial, study.name, source, plan)) is not None]
    if not trials:
        why = f"none of its {len(candidates)} finished trials fits this space" if candidates else "no trial has a value"
        raise SpecificationError(f"warm_start = {study.name!r}: {why}. Begin from another study, or from none.")
    notes = [f"Begins from {len(trials)} of the {len(candidates)} finished trials of {study.name}."]
    if other := list(_other_fixed_values(source, plan)):
        notes.append(f"{study.name} was made with other fixed values: {', '.join(other)}.")
    return WarmStart(tuple(trials), tuple(notes))


def _translated(trial: FrozenTrial, name: str, source: Plan, plan: Plan) -> FrozenTrial | None:
    """The trial with the new space's parameters, None when it has values that the new study can't have."""
    try:
        theirs = {stage.name: source.stage_config(stage, trial.params) for stage in source.definition.stages}
        params = {
            parameter.name: parameter.representation(theirs[parameter.stage or plan.own_stage.name][parameter.key])
            for parameter in plan.space.parameters
        }
        ours = {stage.name: plan.stage_config(stage, params) for stage in plan.definition.stages}
    except SpaceError:
        return None
    if not _agree(theirs, ours, {*source.space.names, *plan.space.names}):
        return None
    return create_trial(
        state=trial.state,
        values=trial.values,
        params=params,
        distributions=plan.space.distributions(),
        intermediate_values=trial.intermediate_values,
        user_attrs={WARM_START: {"study": name, "trial": trial.number}},
    )


def _agree(theirs: dict[str, Config], ours: dict[str, Config], searched: set[str]) -> bool:
    """Whether every parameter that either study searches has the same value in every stage that it concerns."""
    for name in searched:
        scope, _, key = name.rpartition(".")
        for stage in [scope] if scope else list(ours):
            if theirs[stage][key] != ours[stage][key]:
                return False
    return True


def _other_fixed_values(source: Plan, plan: Plan) -> Iterator[str]:
    searched = {parameter.key for parameter in (*source.space.parameters, *plan.space.parameters)}
    for key in plan.schema:
        theirs: Any = source.fixed.get(key)
        ours: Any = plan.fixed.get(key)
        if key not in searched and key not in _NOT_TRAINING and theirs != ours:
            yield f"{key} {theirs!r} (here {ours!r})"
