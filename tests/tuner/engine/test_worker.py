"""Workers running real trials of the smallest model, in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from tuner.engine.search.replay import Replay, replay
from tuner.engine.studies import additions, steering
from tuner.engine.work import worker
from tuner.engine.work.entry import run_worker
from tuner.engine.work.trial import TrialRun
from tuner.settings import Settings
from tuner.space import SpaceParameter
from tuner.specification import PrunerSpecification, SamplerSpecification
from tuner.store import Database, StudyState, TrialState, trial_record
from tuner.store import slots as slot_rows
from tuner.store.states import WorkerState
from tuner.store.tables import Epoch, Progress, SharedStage, Slot, StageEpoch, Study, Worker
from tuner.store.trial_outcome import TrialOutcome

Create = Callable[..., int]


def work(settings: Settings) -> None:
    run_worker(settings, exit_when_idle=True)


def trials(database: Database, name: str = "study") -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=database.storage).trials


def values(database: Database, name: str = "study") -> dict[str, float | None]:
    return {str(sorted(trial.params.items())): trial.value for trial in trials(database, name)}


def slots(database: Database) -> list[Slot]:
    with database.session() as session:
        return list(session.scalars(sa.select(Slot).order_by(Slot.id)))


def epochs_run(database: Database) -> int:
    with database.session() as session:
        return session.scalar(sa.select(sa.func.sum(StageEpoch.times_run))) or 0


def epochs(database: Database) -> tuple[int, int, int]:
    """Of shared stages: asked for, run, reused."""
    found = slots(database)
    return (
        sum(slot.epochs_asked for slot in found),
        sum(slot.epochs_run for slot in found),
        sum(slot.epochs_reused for slot in found),
    )


def kept(settings: Settings, study_id: int) -> list[str]:
    """Trials whose files are there."""
    return sorted(path.name for path in (settings.artifacts / "studies" / str(study_id) / "trials").iterdir())


def test_a_study_runs_to_its_end(database: Database, settings: Settings, create: Create) -> None:
    study_id = create()
    work(settings)
    record = steering.find(database, study_id)
    assert (record.state, record.reason) == (StudyState.COMPLETED, "all 2 trials are done")
    assert [trial.state for trial in trials(database)] == [OptunaState.COMPLETE] * 2
    assert {slot.state for slot in slots(database)} == {TrialState.COMPLETED}
    with database.session() as session:
        assert session.scalars(sa.select(Progress)).all() == []
        assert set(session.scalars(sa.select(Worker.state))) == {WorkerState.STOPPED}
        assert set(session.scalars(sa.select(SharedStage.holder))) == {None}


def test_optuna_has_the_results(database: Database, settings: Settings, create: Create) -> None:
    create()
    work(settings)
    for trial in trials(database):
        scores = trial.intermediate_values
        assert list(scores) == [1, 2, 3]
        assert trial.value == max(scores.values()) == trial.user_attrs["valid_result"]["ndcg@10"]
        assert scores[trial.user_attrs["best_epoch"]] == trial.value
        assert 0 <= trial.user_attrs["test_result"]["ndcg@10"] <= 1
        assert set(trial.user_attrs["seconds"]) == {"finetune", "test"}
        assert trial.user_attrs["protocol"] == {"valid": "full", "test": "full"}


def test_curves_show_the_shared_stage_to_every_trial(database: Database, settings: Settings, create: Create) -> None:
    create()
    work(settings)
    for slot in slots(database):
        with database.session() as session:
            points = trial_record.curves(session, slot)
        assert [(point.stage, point.epoch) for point in points] == [
            *(("pretrain", epoch) for epoch in (1, 2, 3)),
            *(("finetune", epoch) for epoch in (1, 2, 3)),
        ]


def test_losses_are_means_of_samples_beside_recboles_sums(
    database: Database, settings: Settings, create: Create
) -> None:
    create(space={"width": [4]}, config={"train_batch_size": 64})
    work(settings)
    with database.session() as session:
        slot = session.scalars(sa.select(Slot)).one()
        points = trial_record.curves(session, slot)
    assert {point.stage for point in points} == {"pretrain", "finetune"}
    for point in points:
        assert point.loss is not None
        assert point.mean_loss is not None
        # Batches of nearly one size, each with the mean of its samples as its loss.
        assert point.loss / point.mean_loss == pytest.approx(round(point.loss / point.mean_loss), abs=0.1)
        assert point.loss > 1.5 * point.mean_loss


def test_the_baseline_is_computed_once(database: Database, settings: Settings, create: Create) -> None:
    study_id = create()
    work(settings)
    with database.session() as session:
        baseline = session.get_one(Study, study_id).baseline
    assert baseline is not None
    assert "ndcg@10" in baseline["valid"]
    assert "ndcg@10" in baseline["test"]


def test_one_pretraining_serves_all_lengths(database: Database, settings: Settings, create: Create) -> None:
    create(space={"pretrain_epochs": [2, 4, 6]})
    work(settings)
    assert epochs(database) == (12, 6, 6)
    assert epochs_run(database) == 6


def test_a_grid_runs_only_its_longest_pretraining(database: Database, settings: Settings, create: Create) -> None:
    space = {
        "pretrain_epochs": [2, 4, 6],
        "finetune.learning_rate": [0.1, 0.05, 0.02, 0.01],
        "stopping_step": [1, 2, 3],
    }
    create(space=space, config={"epochs": 1})
    work(settings)
    assert len(slots(database)) == 36
    assert epochs(database) == (144, 6, 138)
    assert epochs_run(database) == 6


def test_the_data_is_prepared_once_for_all_workers(database: Database, settings: Settings, create: Create) -> None:
    create()
    work(settings)
    assert settings.data_root is not None
    entries = {path: path.stat().st_ino for path in (settings.data_root / ".prepared").glob("toy-*.pt")}
    assert entries
    create("again", space={"finetune.learning_rate": [0.03]})
    work(settings)
    assert {path: path.stat().st_ino for path in entries} == entries


def test_another_study_finds_the_stage(database: Database, settings: Settings, create: Create) -> None:
    create("one")
    work(settings)
    create("two", space={"finetune.learning_rate": [0.03]})
    work(settings)
    assert epochs_run(database) == 3
    assert slots(database)[-1].epochs_reused == 3


def test_other_seeds_and_sizes_share_nothing(database: Database, settings: Settings, create: Create) -> None:
    create(space={"width": [4, 8], "seed": [1, 2]})
    work(settings)
    assert epochs(database) == (12, 12, 0)


def test_sharing_changes_no_bit(
    database: Database, settings: Settings, create: Create, forget_stages: Callable[[], None]
) -> None:
    create("together", space={"pretrain_epochs": [1, 2, 3]})
    work(settings)
    shared = values(database, "together")
    alone: dict[str, float | None] = {}
    for length in (3, 1, 2):
        forget_stages()
        create(f"alone-{length}", space={"pretrain_epochs": [length]})
        work(settings)
        assert epochs_run(database) == length
        alone |= values(database, f"alone-{length}")
    assert alone == shared
    assert len(set(shared.values())) > 1


def test_a_trial_that_raises_is_recorded_and_the_study_goes_on(
    database: Database, settings: Settings, create: Create
) -> None:
    study_id = create(space={"trouble": ["none", "raise", "nan"], "finetune.learning_rate": [0.01, 0.1]})
    work(settings)
    found = {(slot.parameters or {})["trouble"]: slot for slot in slots(database)}
    assert [found[key].state for key in ("none", "raise", "nan")] == ["completed", "failed", "failed"]
    error = found["raise"].error
    assert error is not None
    assert (error["type"], error["message"]) == ("RuntimeError", "asked to raise")
    assert "tiny_recommender.py" in error["traceback"]
    assert found["nan"].error is not None
    assert found["nan"].error["type"] == "NonFiniteLoss"
    failed = [trial for trial in trials(database) if trial.state is OptunaState.FAIL]
    assert "RuntimeError: asked to raise" in {trial.user_attrs["error"] for trial in failed}
    assert steering.find(database, study_id).reason == "2 of 6 trials succeeded"


def test_failures_in_a_row_pause_a_study(database: Database, settings: Settings, create: Create) -> None:
    study_id = create(space={"width": [1, 2, 3, 4]}, config={"trouble": "raise"}, max_failures=2)
    work(settings)
    record = steering.find(database, study_id)
    assert record.state is StudyState.PAUSED
    assert record.reason == "2 failures in a row, the last: RuntimeError: asked to raise"
    assert len(trials(database)) == 2


def test_a_trial_without_memory_is_tried_once_more(
    database: Database, settings: Settings, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "RETRY_DELAY_SECONDS", 0.1)
    create(space={"trouble": ["memory"]})
    work(settings)
    (slot,) = slots(database)
    assert (slot.state, slot.failures, slot.attempt) == (TrialState.FAILED, 1, 2)
    assert [trial.state for trial in trials(database)] == [OptunaState.FAIL]


def test_a_trial_that_gets_on_has_no_losses_any_more(database: Database, settings: Settings, create: Create) -> None:
    """Also one that has nothing to pretrain."""
    create(space={"width": [4]}, config={"pretrain_epochs": 0, "epochs": 1})
    with database.transaction() as session:
        session.execute(sa.update(Slot).values(losses=3))
    work(settings)
    assert [(slot.state, slot.losses) for slot in slots(database)] == [(TrialState.COMPLETED, 0)]


def test_no_finished_trial_is_repeated(database: Database, settings: Settings, create: Create) -> None:
    study_id = create(space={"width": [4, 8, 12]}, max_trials=2, sampler=SamplerSpecification(name="exhaustive"))
    work(settings)
    additions.raise_budget(database, study_id, 3)
    work(settings)
    assert [trial.params["width"] for trial in trials(database)] == [4, 8, 12]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("random", {}),
        ("tpe", {"n_startup_trials": 2}),
        ("gp", {"n_startup_trials": 2}),
        ("cmaes", {"n_startup_trials": 1, "popsize": 4}),
        ("qmc", {}),
    ],
)
def test_samplers_choose_and_repeat_their_choices(
    database: Database, settings: Settings, create: Create, name: str, options: dict[str, Any]
) -> None:
    space = {
        "finetune.learning_rate": SpaceParameter("finetune.learning_rate", "loguniform", low=-5.0, high=-1.0),
        "finetune.weight_decay": SpaceParameter("finetune.weight_decay", "uniform", low=0.0, high=0.1),
        "width": [4, 8],
    }
    sampler = SamplerSpecification.model_validate({"name": name, "options": options})
    chosen: list[Any] = []
    for attempt in ("one", "two"):
        create(attempt, space=space, sampler=sampler, max_trials=4, config={"epochs": 1, "pretrain_epochs": 1})
        work(settings)
        assert replay(database, attempt) == Replay(attempt, 4, ())
        chosen.append([(trial.params, trial.user_attrs["seen"]) for trial in trials(database, attempt)])
    assert chosen[0] == chosen[1]
    assert [seen for _, seen in chosen[0]] == ["", "0", "0-1", "0-2"]


def test_pruned_trials_keep_their_best_result_and_are_neither_tested_nor_kept(
    database: Database, settings: Settings, create: Create
) -> None:
    pruner = PrunerSpecification(name="patient", options={"patience": 0})
    study_id = create(
        space={"finetune.learning_rate": [5.0]}, pruner=pruner, config={"epochs": 50, "stopping_step": 50}
    )
    work(settings)
    (trial,) = trials(database)
    scores = trial.intermediate_values
    assert trial.state is OptunaState.PRUNED
    assert len(scores) < 50
    left = TrialOutcome.read(trial.user_attrs)
    assert scores[left.best_epoch or 0] == max(scores.values()) == trial.value == (left.valid_result or {})["ndcg@10"]
    assert (left.test_result, left.protocol) == (None, {"valid": "full", "test": "full"})
    assert set(left.seconds or {}) == {"finetune"}
    assert slots(database)[0].state is TrialState.PRUNED
    assert kept(settings, study_id) == []


@pytest.mark.parametrize("why", ["raise", "cancelled"])
def test_a_trial_without_a_value_leaves_no_checkpoint(
    database: Database, settings: Settings, create: Create, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = create(space={"width": [4]})
    record, done = TrialRun._record, []

    def end_in_the_second_epoch(run: Any, report: Any) -> None:
        record(run, report)
        done.append(report.epoch)
        if len(done) == 2:
            assert kept(settings, study_id) == ["0"]
            if why == "raise":
                raise RuntimeError("asked to raise")
            steering.cancel(database, study_id)
            run.keeper.note_state(StudyState.CANCELLED)

    monkeypatch.setattr(TrialRun, "_record", end_in_the_second_epoch)
    work(settings)
    assert slots(database)[0].state is (TrialState.FAILED if why == "raise" else TrialState.CANCELLED)
    assert kept(settings, study_id) == []


def test_what_an_ended_trial_left_is_removed_by_a_worker_that_did_not_run_it(
    database: Database, settings: Settings, create: Create
) -> None:
    study_id = create(space={"width": [4, 8]})
    work(settings)
    (best,) = kept(settings, study_id)
    left = settings.artifacts / "studies" / str(study_id) / "trials" / str(1 - int(best))
    left.mkdir()
    (left / "finetune.pth").write_bytes(b"of a worker that was killed right after it told the value")
    work(settings)
    assert kept(settings, study_id) == [best]


def test_an_epoch_forgets_the_losses_before_it(database: Database, settings: Settings, create: Create) -> None:
    """A trial that gets on between two lost workers is not what kills them."""
    create(space={"width": [4]}, config={"pretrain_epochs": 0})
    with database.transaction() as session:
        session.execute(sa.update(Slot).values(losses=4))
    work(settings)
    assert slots(database)[0].losses == 0


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"early_stop": 2}, "early stop: no improvement in the first 2 trials"),
        ({"target_value": 0.0}, "target value: trial 0 reached"),
        ({"computing_hours": 1e-9}, "computing time: "),
    ],
)
def test_every_ending_says_why(
    database: Database, settings: Settings, create: Create, rule: dict[str, Any], reason: str
) -> None:
    study_id = create(space={"eval_batch_size": [100, 200, 300, 400, 500]}, **rule)
    work(settings)
    record = steering.find(database, study_id)
    assert record.state is StudyState.COMPLETED
    assert record.reason is not None
    assert record.reason.startswith(reason)


def test_computing_time_is_that_of_all_epochs(database: Database, settings: Settings, create: Create) -> None:
    study_id = create(space={"width": [4, 8], "finetune.learning_rate": [0.1, 0.01]})
    work(settings)
    with database.session() as session:
        shared = session.scalar(sa.select(sa.func.sum(StageEpoch.seconds))) or 0.0
        own = session.scalar(sa.select(sa.func.sum(Epoch.seconds))) or 0.0
        assert slot_rows.computing_seconds(session, study_id) == pytest.approx(shared + own)
    assert min(shared, own) > 0.0


def test_only_the_best_trials_checkpoint_is_kept(database: Database, settings: Settings, create: Create) -> None:
    study_id = create(space={"width": [2, 4, 8]})
    work(settings)
    best = optuna.load_study(study_name="study", storage=database.storage).best_trial.number
    assert kept(settings, study_id) == [str(best)]


def test_a_given_checkpoint_replaces_pretraining(database: Database, settings: Settings, create: Create) -> None:
    create("one")
    work(settings)
    (checkpoint,) = settings.artifacts.glob("stages/*/3.pth")
    create("two", config={"pre_model_path": str(checkpoint), "pretrain_epochs": 9})
    work(settings)
    assert epochs_run(database) == 3
    assert list(values(database, "two").values()) == list(values(database, "one").values())


def test_unused_checkpoints_beyond_the_bound_are_deleted(
    database: Database, settings: Settings, create: Create
) -> None:
    create(space={"width": [2, 4]})
    work(settings.model_copy(update={"cache_gb": 0.0}))
    assert list(settings.artifacts.glob("stages/*/*")) == []
