"""A model of three stages: each shared stage starts from the one before it, and each is trained once."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa

from model.data import load_dataset
from model.errors import CheckpointNotFound
from model.quick_start import run_recbole
from model.run import start_run
from tuner import insight
from tuner.engine.plan import Plan, make_plan
from tuner.engine.work import stage_cache
from tuner.engine.work.entry import run_worker
from tuner.errors import SpecificationError
from tuner.insight.stage_tree import stage_tree
from tuner.settings import Settings
from tuner.specification import StudySpecification
from tuner.store import Database, TrialState, trial_record
from tuner.store import claims as claim_rows
from tuner.store import stages as stage_rows
from tuner.store import studies as study_rows
from tuner.store.tables import Checkpoint, SharedStage, Slot, StageEpoch, Study, Worker

Create = Callable[..., int]
Make = Callable[..., StudySpecification]
StartWorker = Callable[..., "subprocess.Popen[bytes]"]
Results = dict[str, tuple[float | None, str]]


def work(settings: Settings) -> None:
    run_worker(settings, exit_when_idle=True)


def results(database: Database, name: str = "study") -> Results:
    trials = optuna.load_study(study_name=name, storage=database.storage).trials
    return {str(sorted(t.params.items())): (t.value, str(t.user_attrs["test_result"])) for t in trials}


def slots(database: Database) -> list[Slot]:
    with database.session() as session:
        return list(session.scalars(sa.select(Slot).order_by(Slot.id)))


def counted(database: Database) -> tuple[int, int, int]:
    """Epochs of shared stages: asked for, run, reused."""
    found = slots(database)
    return (
        sum(slot.epochs_asked for slot in found),
        sum(slot.epochs_run for slot in found),
        sum(slot.epochs_reused for slot in found),
    )


def computed(database: Database) -> dict[str, list[int]]:
    """How often each epoch of every shared stage was computed, by stage."""
    query = (
        sa.select(SharedStage.stage, StageEpoch.times_run)
        .join(StageEpoch, StageEpoch.stage_key == SharedStage.key)
        .order_by(SharedStage.created_at, SharedStage.key, StageEpoch.epoch)
    )
    found: dict[str, list[int]] = {}
    with database.session() as session:
        for stage, times in session.execute(query):
            found.setdefault(stage, []).append(times)
    return found


def by_hand(plan: Plan, folder: Path, values: dict[str, Any]) -> tuple[float | None, str]:
    """Value and test result of a trial whose three stages are run one after the other, without the engine."""
    initial: Path | None = None
    for stage in plan.definition.stages:
        config = plan.config.for_stage(stage.name, values)
        run = start_run(plan.definition, stage.name, config, load_dataset(config), initial=initial)
        while not run.finished:
            run.run_epoch()
        initial = folder / f"{stage.name}.pth"
        run.save(initial)
    result = run.result()
    return result.best_valid_score, str(result.test_result)


def test_three_stages_give_what_they_give_when_run_by_hand(
    database: Database, settings: Settings, create: Create, specification: Make, tmp_path: Path
) -> None:
    space = {"align_epochs": [1, 3], "finetune.learning_rate": [0.01, 0.1]}
    create(model="Chain", space=space)
    work(settings)
    found = results(database)
    plan = make_plan(specification(model="Chain", space=space))
    for epochs in (1, 3):
        for rate in (0.01, 0.1):
            values = {"align_epochs": epochs, "finetune.learning_rate": rate}
            assert found[str(sorted(values.items()))] == by_hand(plan, tmp_path, values)
    assert len({value for value, _ in found.values()}) > 2
    # Four trials: 3 + 1 or 3 + 3 epochs each; run were 3 of the first stage and 3 of the second.
    assert counted(database) == (20, 6, 14)
    assert computed(database) == {"pretrain": [1, 1, 1], "align": [1, 1, 1]}


def test_the_middle_stage_starts_from_the_length_of_the_first_that_the_trial_asks_for(
    database: Database, settings: Settings, create: Create, specification: Make, tmp_path: Path
) -> None:
    space = {"pretrain_epochs": [4, 2], "align_epochs": [2, 1]}
    create(model="Chain", space=space)
    work(settings)
    assert computed(database) == {"pretrain": [1, 1, 1, 1], "align": [1, 1, 1, 1]}  # two runs of two epochs
    assert counted(database) == (4 + 2 + 4 + 2 + 6, 8, 10)
    plan = make_plan(specification(model="Chain", space=space))
    values = {"pretrain_epochs": 2, "align_epochs": 2}
    assert results(database)[str(sorted(values.items()))] == by_hand(plan, tmp_path, values)


def test_a_grid_trains_every_stage_once_and_its_first_results_come_early(specification: Make) -> None:
    space = {
        "pretrain_epochs": [4, 2],
        "align.learning_rate": [0.1, 0.2],
        "align_epochs": [3, 1],
        "stopping_step": [1, 2],
    }
    plan = make_plan(specification(model="Chain", space=space))
    order = [
        (point.parameters["pretrain_epochs"], point.parameters["align.learning_rate"], point.parameters["align_epochs"])
        for point in plan.grid()
    ]
    one_each = [(p, rate, a) for p in (2, 4) for rate in (0.1, 0.2) for a in (1, 3)]
    assert order == [combination for combination in one_each for _ in range(2)]


def test_a_searched_seed_tells_groups_apart(specification: Make) -> None:
    plan = make_plan(specification(space={"seed": [1, 2], "finetune.learning_rate": [0.1, 0.2]}))
    groups = [point.group_key for point in plan.grid()]
    assert len(set(groups)) == 2
    assert groups == sorted(groups, key=groups.index)


def test_the_key_of_a_stage_holds_what_it_starts_from(specification: Make) -> None:
    def keys(**config: Any) -> list[str]:
        plan = make_plan(specification(model="Chain", config=config))
        links = plan.chain(lambda stage: plan.stage_config(stage, {"finetune.learning_rate": 0.01}), "data")
        return [link.key for link in links]

    first, second = keys()
    assert keys(align_epochs=9) == [first, second]  # shorter runs are prefixes of longer ones
    assert keys(pretrain_epochs=9)[0] == first
    assert keys(pretrain_epochs=9)[1] != second
    assert keys(**{"pretrain.learning_rate": 0.7})[0] != first
    assert keys(**{"pretrain.learning_rate": 0.7})[1] != second
    assert keys(**{"align.learning_rate": 0.7})[0] == first


def test_curves_and_stages_show_the_whole_chain(database: Database, settings: Settings, create: Create) -> None:
    create(model="Chain", space={"align_epochs": [1, 2]})
    work(settings)
    trial = insight.get_trial(database, "study", 1)
    assert [(point.stage, point.epoch) for point in trial.curves if point.stage != "finetune"] == [
        *(("pretrain", epoch) for epoch in (1, 2, 3)),
        *(("align", epoch) for epoch in (1, 2)),
    ]
    assert insight.get_study(database, "study").shared_stages == ("pretrain", "align")
    first, second = insight.list_stages(database, "study").items
    assert (first.stage, first.before, first.trials_total) == ("pretrain", None, 2)
    assert (second.stage, second.before, second.before_epoch) == ("align", first.key, 3)
    assert sorted((trial.number, trial.epochs) for trial in second.trials) == [(0, 1), (1, 2)]
    assert {trial.epochs for trial in first.trials} == {3}
    texts = [text for trace in stage_tree(database, "study").data for text in trace.text or ()]
    assert f"align {second.key[:7]}" in texts
    assert len([text for text in texts if text.startswith("trial ")]) == 2


def test_what_a_needed_stage_starts_from_is_not_deleted(database: Database, settings: Settings, create: Create) -> None:
    create(model="Chain")
    work(settings)
    with database.transaction() as session:
        assert len(stage_rows.evictable(session, database.now(session))) == 2
        session.execute(sa.update(Slot).values(state=TrialState.RUNNING))
        assert stage_rows.evictable(session, database.now(session)) == []


def test_a_deleted_first_stage_is_trained_again_only_where_the_second_has_to_begin(
    database: Database, settings: Settings, create: Create
) -> None:
    create("first", model="Chain", space={"align_epochs": [2]})
    work(settings)
    before = results(database, "first")
    with database.session() as session:
        keys = dict(session.execute(sa.select(SharedStage.stage, SharedStage.key)).all())
    stage_cache._delete(database, settings.artifacts, keys["pretrain"], 3)
    create("second", model="Chain", space={"align_epochs": [4]})
    work(settings)
    # The second stage goes on from its own checkpoint: nothing of the first is needed.
    assert computed(database) == {"pretrain": [1, 1, 1], "align": [1, 1, 1, 1]}
    stage_cache._delete(database, settings.artifacts, keys["align"], 2)
    stage_cache._delete(database, settings.artifacts, keys["align"], 4)
    create("third", model="Chain", space={"align_epochs": [2]}, config={"eval_batch_size": 50})
    work(settings)
    assert computed(database) == {"pretrain": [2, 2, 2], "align": [2, 2, 1, 1]}
    assert results(database, "third") == before


def test_a_damaged_first_stage_is_noticed_when_the_second_begins_from_it(
    database: Database, settings: Settings, create: Create
) -> None:
    create("whole", model="Chain", space={"align_epochs": [2]})
    work(settings)
    whole = results(database, "whole")
    with database.session() as session:
        keys = dict(session.execute(sa.select(SharedStage.stage, SharedStage.key)).all())
    file = settings.artifacts / "stages" / keys["pretrain"] / "3.pth"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    stage_cache._delete(database, settings.artifacts, keys["align"], 2)
    create("damaged", model="Chain", space={"align_epochs": [2]}, config={"eval_batch_size": 50})
    work(settings)
    assert results(database, "damaged") == whole
    assert computed(database) == {"pretrain": [2, 2, 2], "align": [2, 2]}


def test_trials_are_passed_over_while_another_worker_runs_a_stage_that_theirs_starts_from(
    database: Database, create: Create
) -> None:
    study_id = create(model="Chain", space={"align.learning_rate": [0.1, 0.2]})
    with database.transaction() as session:
        now = database.now(session)
        for worker in ("mine", "other"):
            session.add(Worker(id=worker, host="h", pid=1, lease_expires=now + 60))
        stage_rows.ensure(session, "first", model="Chain", stage="pretrain", dataset="toy")
        for key in ("second", "sibling"):
            stage_rows.ensure(session, key, model="Chain", stage="align", dataset="toy", before=("first", 3))
        session.execute(sa.update(Slot).where(Slot.ordinal == 0).values(stage_key="second", stage_epochs=2))
        session.execute(sa.update(Slot).where(Slot.ordinal == 1).values(stage_key="sibling", stage_epochs=2))
        assert stage_rows.acquire(session, now, "first", "other", 60, 3)

    def claimable() -> list[int]:
        """Ordinals that would be claimed, one after the other; nothing stays claimed."""
        with database.session() as session:
            now, found = database.now(session), []
            while (claim := claim_rows.claim(session, now, "mine", 60, study_id=study_id)) is not None:
                found.append(claim.ordinal)
            session.rollback()
            return found

    assert claimable() == []
    with database.transaction() as session:  # one of them has been begun: it does not need the first stage
        stage_rows.add_checkpoint(session, "sibling", 1, size=1, kept=False, sha256="0")
    assert claimable() == [1]
    with database.transaction() as session:
        stage_rows.add_checkpoint(session, "first", 3, size=1, kept=True, sha256="0")
    assert claimable() == [0, 1]


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("stage", ["pretrain", "align", "finetune"])
def test_a_kill_in_any_stage_costs_at_most_an_epoch_and_no_bit(
    database: Database,
    settings: Settings,
    create: Create,
    start: StartWorker,
    forget_stages: Callable[[], None],
    stage: str,
) -> None:
    slow = {"pretrain_epochs": 4, "align_epochs": 4, "epochs": 4, "pause": 0.15}
    create("quiet", model="Chain", space={"width": [4]}, config=slow | {"pause": 0.0})
    work(settings)
    forget_stages()
    create("loud", model="Chain", space={"width": [4]}, config=slow)
    worker = start()
    deadline = time.monotonic() + 60
    while _epochs_of(database, "loud", stage) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    worker.kill()
    worker.wait()
    assert start().wait(90) == 0
    assert results(database, "loud") == results(database, "quiet")
    repeated = [times for stage_times in computed(database).values() for times in stage_times]
    assert len(repeated) == 8
    assert sum(repeated) <= 9


def _epochs_of(database: Database, name: str, stage: str) -> int:
    with database.session() as session:
        study = study_rows.find_study(session, name)
        slot = session.scalars(sa.select(Slot).where(Slot.study_id == study.id)).one()
        return sum(point.stage == stage for point in trial_record.curves(session, slot))


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_two_workers_train_every_stage_once(database: Database, create: Create, start: StartWorker) -> None:
    space = {"pretrain_epochs": [2, 4], "align.learning_rate": [0.05, 0.1], "align_epochs": [1, 2]}
    create(model="Chain", space=space, config={"epochs": 2, "pause": 0.05})
    workers = [start(), start()]
    assert [worker.wait(120) for worker in workers] == [0, 0]
    assert {slot.state for slot in slots(database)} == {TrialState.COMPLETED}
    assert computed(database) == {"pretrain": [1] * 4, "align": [1] * 8}
    asked, run, reused = counted(database)
    assert (asked, run, reused) == (8 * 3 + 4 * 1 + 4 * 2, 12, 24)


def test_the_python_api_starts_the_middle_stage_from_the_first(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["script"])
    monkeypatch.setenv("TUNER_DATA_ROOT", str(data_root))
    config = {"checkpoint_dir": str(tmp_path), "show_progress": False, "state": "ERROR", "pretrain_epochs": 2}
    run_recbole("Chain", "toy", config_dict=config | {"train_stage": "pretrain"})
    first = tmp_path / "Chain-toy-2.pth"
    content = first.read_bytes()
    with pytest.raises(
        CheckpointNotFound, match=r"align starts from a pretrained model. Run with train_stage: pretrain"
    ):
        run_recbole("Chain", "toy", config_dict=config | {"train_stage": "align"})
    run_recbole("Chain", "toy", config_dict=config | {"train_stage": "align", "pre_model_path": str(first)})
    assert first.read_bytes() == content
    assert (tmp_path / "Chain-toy-align-2.pth").is_file()
    with pytest.raises(CheckpointNotFound, match=r"Run with train_stage: align first"):
        run_recbole("Chain", "toy", config_dict=config | {"train_stage": "finetune"})


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("ValidatesTwice", "its stage align validates, and only the last one may, here finetune"),
        ("NeverValidates", "its last stage finetune does not validate, so that no trial would have a value"),
    ],
)
def test_stages_of_another_shape_are_refused(database: Database, create: Create, model: str, said: str) -> None:
    with pytest.raises(SpecificationError, match=said):
        create(model=model)
    with database.session() as session:
        assert session.scalars(sa.select(Study)).all() == []


def test_data_settings_of_one_stage_alone_are_refused(specification: Make) -> None:
    with pytest.raises(SpecificationError, match=r"can't be set for pretrain alone. Write MAX_ITEM_LIST_LENGTH"):
        make_plan(specification(config={"pretrain.MAX_ITEM_LIST_LENGTH": 5}))


def test_no_checkpoint_is_left_that_nobody_goes_on_from(database: Database, settings: Settings, create: Create) -> None:
    create(model="Chain", space={"pretrain_epochs": [1, 3]})
    work(settings)
    with database.session() as session:
        query = sa.select(SharedStage.stage, Checkpoint.epoch).join(Checkpoint, Checkpoint.stage_key == SharedStage.key)
        found = sorted(session.execute(query).all())
    assert found == [("align", 2), ("align", 2), ("pretrain", 1), ("pretrain", 3)]
