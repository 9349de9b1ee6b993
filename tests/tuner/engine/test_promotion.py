"""Successive halving that promotes: who goes on, who waits, and what is left at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from tuner import insight
from tuner.engine.course.ending import settle
from tuner.engine.course.promotion import arrive
from tuner.engine.course.sweep import sweep
from tuner.engine.search.ladder import Ladder
from tuner.engine.search.replay import Replay, replay
from tuner.engine.studies import steering
from tuner.engine.work.entry import run_worker
from tuner.errors import SpecificationError
from tuner.settings import Settings
from tuner.space import SpaceParameter
from tuner.specification import PrunerSpecification, SamplerSpecification
from tuner.store import Database, StudyState, TrialState, claims, rungs
from tuner.store import slots as slot_rows
from tuner.store.claims import Claim
from tuner.store.tables import Epoch, Rung, Slot, Worker

Create = Callable[..., int]

RATES = [0.001, 0.3, 0.01, 1.0, 0.1, 0.03, 3.0, 0.003, 0.5]
PROMOTION = PrunerSpecification(name="asha_promotion", options={"min_resource": 1, "reduction_factor": 3})
LONG = {"epochs": 9, "stopping_step": 100, "pretrain_epochs": 1}


def trials(database: Database) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="study", storage=database.storage).trials


def slots(database: Database) -> list[Slot]:
    with database.session() as session:
        return list(session.scalars(sa.select(Slot).order_by(Slot.ordinal)))


def claim(database: Database) -> Claim | None:
    with database.transaction() as session:
        session.merge(Worker(id="w", host="h", pid=1, lease_expires=0.0))
        claimed = claims.claim(session, database.now(session), "w", 30.0)
    if claimed is not None and claimed.optuna_number is None:
        number = optuna.load_study(study_name="study", storage=database.storage).ask().number
        with database.transaction() as session:
            claims.link(session, claimed, number)
    return claimed


def begin(database: Database) -> Claim:
    claimed = claim(database)
    assert claimed is not None
    return claimed


@pytest.mark.parametrize(
    ("options", "rungs_at"), [((1, 3), [1, 3, 9, 27]), ((2, 2), [2, 4, 8, 16, 32]), ((5, 4), [5, 20])]
)
def test_rungs_are_powers_apart(options: tuple[int, int], rungs_at: list[int]) -> None:
    ladder = Ladder(*options)
    assert [epoch for epoch in range(1, 33) if ladder.rung(epoch) is not None] == rungs_at
    assert [ladder.rung(epoch) for epoch in rungs_at] == list(range(len(rungs_at)))


@pytest.mark.parametrize("options", [{"min_resource": 0}, {"reduction_factor": 1}, {"reduction_factor": 2.5}])
def test_a_ladder_without_steps_is_refused(create: Create, options: dict[str, Any]) -> None:
    with pytest.raises(SpecificationError, match="asha_promotion does not accept"):
        create(pruner=PrunerSpecification(name="asha_promotion", options=options))


def test_the_best_of_a_rung_goes_on_and_the_others_wait(database: Database, create: Create) -> None:
    create(space={"width": list(range(1, 10))}, pruner=PROMOTION)
    ladder = Ladder(1, 2)
    first = begin(database)
    assert not arrive(database, ladder, first, 1, 0.5)  # one of one: nobody is in the better half
    second = begin(database)
    assert second.slot_id != first.slot_id  # a waiting trial is not claimed; a new one begins
    assert not arrive(database, ladder, second, 1, 0.4)  # but now the first may go on
    again = begin(database)
    assert again.slot_id == first.slot_id
    third, fourth = begin(database), begin(database)
    assert not arrive(database, ladder, third, 1, 0.3)
    assert arrive(database, ladder, fourth, 1, 0.6)  # the best of four does not even stop
    assert not arrive(database, ladder, again, 2, 0.5)
    assert arrive(database, ladder, fourth, 2, 0.6)
    with database.session() as session:
        assert [entry.promoted for entry in rungs.on_rung(session, first.study_id, 0)] == [True, False, False, True]
        assert rungs.reached(session, first.study_id) == {0: 2, 1: 1, 2: 1, 3: 2}


def test_arriving_twice_is_arriving_once(database: Database, create: Create) -> None:
    """A worker that died between the checkpoint and the pause leaves a trial that arrives again."""
    create(space={"width": [1, 2, 3]}, pruner=PROMOTION)
    claimed = begin(database)
    with database.transaction() as session:
        rungs.reach(session, claimed.slot_id, 0, 1, 0.5)
    assert not arrive(database, Ladder(1, 2), claimed, 1, 0.5)
    assert not arrive(database, Ladder(1, 2), claimed, 1, 0.5)
    with database.session() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Rung)) == 1
    assert slots(database)[0].paused_at == 1


def test_trials_that_wait_keep_no_study_from_stopping(database: Database, create: Create) -> None:
    study_id = create(space={"width": [1, 2, 3]}, pruner=PROMOTION)
    paused, running = begin(database), begin(database)
    assert not arrive(database, Ladder(1, 3), paused, 1, 0.5)
    assert steering.stop(database, study_id).state is StudyState.STOPPING
    settle(database, study_id)
    assert [slot.state for slot in slots(database)] == [TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING]
    with database.transaction() as session:
        claims.finish(session, running, TrialState.COMPLETED)
    settle(database, study_id)
    assert steering.find(database, study_id).state is StudyState.STOPPED


def test_trials_that_wait_are_cancelled_with_their_study(database: Database, create: Create) -> None:
    study_id = create(space={"width": [1, 2]}, pruner=PROMOTION)
    assert not arrive(database, Ladder(1, 3), begin(database), 1, 0.5)
    steering.cancel(database, study_id)
    sweep(database, 30.0)
    assert {slot.state for slot in slots(database)} == {TrialState.CANCELLED}
    assert trials(database)[0].state is OptunaState.FAIL


def test_a_study_runs_the_best_trials_to_their_end(database: Database, settings: Settings, create: Create) -> None:
    study_id = create(space={"finetune.learning_rate": RATES}, pruner=PROMOTION, config=LONG)
    run_worker(settings, exit_when_idle=True)
    record = steering.find(database, study_id)
    assert (record.state, record.reason) == (StudyState.COMPLETED, "all 9 trials are done")
    ended = trials(database)
    lengths = sorted(len(trial.intermediate_values) for trial in ended)
    # One of nine runs all nine epochs; which ones went to three depends on who came first, so at least three did.
    assert lengths[-1] == 9
    assert set(lengths) == {1, 3, 9}
    assert lengths.count(1) <= 6
    for trial in ended:
        whole = len(trial.intermediate_values) == 9
        assert trial.state is (OptunaState.COMPLETE if whole else OptunaState.PRUNED)
        assert trial.value == max(trial.intermediate_values.values()) == trial.user_attrs["valid_result"]["ndcg@10"]
        assert trial.intermediate_values[trial.user_attrs["best_epoch"]] == trial.value
        assert trial.user_attrs["protocol"] == {"valid": "full", "test": "full"}
        assert ("test_result" in trial.user_attrs) == whole
    folder = settings.artifacts / "studies" / str(study_id) / "trials"
    best = insight.get_study(database, study_id).best_trial
    assert {int(path.name) for path in folder.iterdir()} == {best}
    with database.session() as session:
        counted = session.scalar(sa.select(sa.func.count()).select_from(Epoch))
    assert counted == sum(lengths)  # resumed, not repeated


def test_a_promoted_trial_ends_with_the_bits_of_one_that_never_stopped(
    database: Database, settings: Settings, create: Create
) -> None:
    create(space={"finetune.learning_rate": RATES}, pruner=PROMOTION, config=LONG)
    run_worker(settings, exit_when_idle=True)
    stopped = {str(trial.params): trial.intermediate_values for trial in trials(database)}
    whole = create("whole", space={"finetune.learning_rate": RATES}, config=LONG)
    run_worker(settings, exit_when_idle=True)
    # A trial that did not end has no score to compare; what stopped it is said here.
    ended = [(slot.state, slot.error) for slot in slots(database) if slot.study_id == whole]
    assert ended == [(TrialState.COMPLETED, None)] * 9
    for trial in optuna.load_study(study_name="whole", storage=database.storage).trials:
        scores = stopped[str(trial.params)]
        assert scores == {epoch: trial.intermediate_values[epoch] for epoch in scores}


def test_with_one_worker_the_same_study_ends_the_same(database: Database, settings: Settings, create: Create) -> None:
    rate = SpaceParameter("finetune.learning_rate", "loguniform", low=-6.0, high=0.0)
    sampler = SamplerSpecification(name="tpe", options={"n_startup_trials": 2})
    outcomes = []
    for name in ("one", "two"):
        create(
            name,
            space={"finetune.learning_rate": rate},
            sampler=sampler,
            pruner=PROMOTION,
            max_trials=6,
            config=LONG | {"epochs": 4},
        )
        run_worker(settings, exit_when_idle=True)
        found = optuna.load_study(study_name=name, storage=database.storage).trials
        outcomes.append([(trial.params, trial.state, trial.value, trial.user_attrs["seen"]) for trial in found])
        assert replay(database, name) == Replay(name, 6, ())
        assert any(trial.user_attrs.get("reached") for trial in found)  # the sampler learns from those that wait
    assert outcomes[0] == outcomes[1]


def test_a_rule_that_ends_the_study_ends_trials_that_wait(
    database: Database, settings: Settings, create: Create
) -> None:
    study_id = create(space={"finetune.learning_rate": RATES}, pruner=PROMOTION, config=LONG, computing_hours=1e-9)
    run_worker(settings, exit_when_idle=True)
    record = steering.find(database, study_id)
    assert record.state is StudyState.COMPLETED
    assert (record.reason or "").startswith("computing time")
    with database.session() as session:
        assert not rungs.any_paused(session, study_id)
        assert not slot_rows.has_work_begun(session, study_id)
    assert [trial.state for trial in trials(database)] == [OptunaState.PRUNED]
