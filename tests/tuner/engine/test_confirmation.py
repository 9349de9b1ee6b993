"""The best parameters run again with other seeds."""

from __future__ import annotations

from collections.abc import Callable
from statistics import stdev

import optuna
import pytest
import sqlalchemy as sa
from scipy.stats import ttest_rel

from tuner import insight
from tuner.engine.course.ending import settle
from tuner.engine.studies import additions, steering
from tuner.engine.work.entry import run_worker
from tuner.errors import SpecificationError, StudyStateError
from tuner.insight import importance, series
from tuner.settings import Settings
from tuner.space import SpaceParameter
from tuner.specification import ConfirmSpecification, PrunerSpecification, SamplerSpecification
from tuner.store import Database, StudyState, TrialState, claims
from tuner.store.states import Origin
from tuner.store.tables import Slot, StageEpoch, Worker

Create = Callable[..., int]

CONFIRM = ConfirmSpecification(top=2, seeds=3)
SHORT = {"epochs": 2, "pretrain_epochs": 1}
RATES = [0.01, 0.1, 0.3, 1.0]


def trials(database: Database, name: str = "study") -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=database.storage).trials


def confirmations(database: Database) -> list[Slot]:
    with database.session() as session:
        return list(session.scalars(sa.select(Slot).where(Slot.origin == Origin.CONFIRM).order_by(Slot.ordinal)))


def test_the_best_sets_run_with_every_seed_and_are_compared(
    database: Database, settings: Settings, create: Create
) -> None:
    study_id = create(space={"finetune.learning_rate": RATES}, confirm=CONFIRM, config=SHORT)
    run_worker(settings, exit_when_idle=True)
    record = steering.find(database, study_id)
    assert (record.state, record.reason) == (StudyState.COMPLETED, "all 4 trials are done")
    search, again = trials(database)[:4], trials(database)[4:]
    best = sorted(search, key=lambda trial: (-(trial.value or 0.0), trial.number))[:2]
    assert [(trial.user_attrs["seed"], trial.user_attrs["confirms"]) for trial in again] == [
        (seed, trial.number) for seed in (2021, 2022, 2023) for trial in best
    ]
    summary = insight.get_study(database, study_id)
    found = summary.confirmation
    assert found is not None
    assert (found.done, found.total, len(found.sets)) == (6, 6, 2)
    for entry in found.sets:
        runs = [trial for trial in again if trial.user_attrs["confirms"] == entry.trial]
        assert list(entry.values) == [trial.value for trial in runs]
        assert entry.mean == pytest.approx(sum(entry.values) / 3)
        assert entry.spread == pytest.approx(stdev(entry.values))
        tests = [trial.user_attrs["test_result"]["ndcg@10"] for trial in runs]
        assert entry.test_spread["ndcg@10"] == pytest.approx(stdev(tests))
        assert entry.params == search[entry.trial].params
        assert entry.value == search[entry.trial].value
        tests = [t.user_attrs["test_result"]["ndcg@10"] for t in again if t.user_attrs["confirms"] == entry.trial]
        assert entry.test_result["ndcg@10"] == pytest.approx(sum(tests) / 3)
    first, second = found.sets
    assert (first.mean or 0.0) >= (second.mean or 0.0)
    comparison = found.comparison
    assert comparison is not None
    assert (comparison.best, comparison.next, comparison.pairs) == (first.trial, second.trial, 3)
    assert comparison.p_value == pytest.approx(ttest_rel(first.values, second.values).pvalue)


def test_a_confirmation_has_the_bits_of_a_study_with_that_seed(
    database: Database, settings: Settings, create: Create
) -> None:
    create(space={"finetune.learning_rate": [0.1]}, confirm=ConfirmSpecification(top=1, seeds=2), config=SHORT)
    run_worker(settings, exit_when_idle=True)
    create("alone", space={"finetune.learning_rate": [0.1]}, config=SHORT | {"seed": 2022})
    run_worker(settings, exit_when_idle=True)
    (alone,) = trials(database, "alone")
    assert trials(database)[2].intermediate_values == alone.intermediate_values
    assert trials(database)[0].intermediate_values != alone.intermediate_values


def test_sets_that_share_a_pretraining_share_it_for_every_seed(
    database: Database, settings: Settings, create: Create
) -> None:
    create(space={"finetune.learning_rate": RATES}, confirm=CONFIRM, config=SHORT)
    run_worker(settings, exit_when_idle=True)
    with database.session() as session:
        assert session.scalar(sa.select(sa.func.sum(StageEpoch.times_run))) == 1 + CONFIRM.seeds


def test_nothing_that_looks_for_the_best_sees_confirmations(
    database: Database, settings: Settings, create: Create
) -> None:
    rate = SpaceParameter("finetune.learning_rate", "loguniform", low=-4.0, high=0.0)
    study_id = create(
        space={"finetune.learning_rate": rate, "width": [4, 8]},
        sampler=SamplerSpecification(name="tpe", options={"n_startup_trials": 2}),
        max_trials=4,
        confirm=CONFIRM,
        config=SHORT,
    )
    run_worker(settings, exit_when_idle=True)
    summary = insight.get_study(database, study_id)
    assert (summary.counts, summary.trials_done, summary.trials_total) == ({"completed": 4}, 4, 4)
    assert summary.best_trial in range(4)
    assert list(series.history(database, study_id).numbers) == [0, 1, 2, 3]
    assert importance.importances(database, study_id).completed == 4
    folder = settings.artifacts / "studies" / str(study_id) / "trials"
    assert [path.name for path in folder.iterdir()] == [str(summary.best_trial)]
    # A larger budget goes on with the search, and confirms what is among the best now.
    additions.raise_budget(database, study_id, 6)
    run_worker(settings, exit_when_idle=True)
    assert insight.get_study(database, study_id).counts == {"completed": 6}
    asked = [trial for trial in trials(database) if "seen" in trial.user_attrs]
    assert [trial.user_attrs["seen"] for trial in asked[4:]] == ["0-3", "0-3,10"]
    done = {(slot.confirms, slot.seed) for slot in confirmations(database)}
    assert len(done) == len(confirmations(database))


def test_a_search_that_a_rule_ended_is_confirmed(database: Database, settings: Settings, create: Create) -> None:
    study_id = create(space={"finetune.learning_rate": RATES}, confirm=CONFIRM, config=SHORT, target_value=0.0)
    run_worker(settings, exit_when_idle=True)
    record = steering.find(database, study_id)
    assert record.state is StudyState.COMPLETED
    assert (record.reason or "").startswith("target value: trial 0 reached")
    assert [slot.state for slot in confirmations(database)] == [TrialState.COMPLETED] * 3
    assert len(trials(database)) == 1 + 3


def test_confirmations_are_neither_pruned_nor_paused(database: Database, settings: Settings, create: Create) -> None:
    promotion = PrunerSpecification(name="asha_promotion", options={"reduction_factor": 2})
    create(space={"finetune.learning_rate": RATES}, confirm=CONFIRM, config=SHORT | {"epochs": 3}, pruner=promotion)
    run_worker(settings, exit_when_idle=True)
    assert {slot.state for slot in confirmations(database)} == {TrialState.COMPLETED}


def begun(database: Database, study_id: int) -> None:
    """Bring a study of one combination to its confirmations."""
    with database.transaction() as session:
        session.merge(Worker(id="w", host="h", pid=1, lease_expires=0.0))
        claimed = claims.claim(session, database.now(session), "w", 30.0)
    assert claimed is not None
    trial = optuna.load_study(study_name="study", storage=database.storage).ask(
        {"width": optuna.distributions.CategoricalDistribution([4])}
    )
    with database.transaction() as session:
        claims.link(session, claimed, trial.number)
    trial.set_user_attr("slot", claimed.slot_id)
    optuna.load_study(study_name="study", storage=database.storage).tell(trial, 0.5)
    with database.transaction() as session:
        claims.finish(session, claimed, TrialState.COMPLETED)
    settle(database, study_id)


def test_while_it_confirms_a_study_is_stopping_and_a_person_can_end_that(database: Database, create: Create) -> None:
    study_id = create(space={"width": [4]}, confirm=CONFIRM)
    begun(database, study_id)
    assert steering.find(database, study_id).state is StudyState.STOPPING
    assert [slot.state for slot in confirmations(database)] == [TrialState.WAITING] * 3
    settle(database, study_id)
    assert len(confirmations(database)) == 3
    steering.stop(database, study_id)
    settle(database, study_id)
    record = steering.find(database, study_id)
    assert (record.state, record.reason) == (StudyState.STOPPED, "all 1 trials are done; then stopped by request")
    assert {slot.state for slot in confirmations(database)} == {TrialState.CANCELLED}


def test_a_confirmation_is_not_retried_as_a_trial_of_the_search(
    database: Database, settings: Settings, create: Create
) -> None:
    study_id = create(space={"width": [4]}, confirm=CONFIRM, config=SHORT)
    run_worker(settings, exit_when_idle=True)
    with pytest.raises(StudyStateError, match="Trial 1 confirms trial 0"):
        additions.retry_trial(database, study_id, 1)


def test_a_study_that_searches_the_seed_can_not_be_confirmed(create: Create) -> None:
    with pytest.raises(SpecificationError, match="Remove seed from the search space"):
        create(space={"seed": [1, 2]}, confirm=CONFIRM)
