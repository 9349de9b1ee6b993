"""What is kept of trials: the best epoch's weights, of which trials, and how they are had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
import pytest
import sqlalchemy as sa

from model.checkpoint import load_checkpoint
from model.data import load_dataset
from model.pictures import restore
from model.registry import get_model
from model.run import start_run
from tuner import insight
from tuner.assembly import same_study
from tuner.engine.files.artifacts import final_checkpoint, trial_folder
from tuner.engine.files.weights import read_weights, remove_ended, trial_weights
from tuner.engine.work import trial as trials
from tuner.engine.work.entry import run_worker
from tuner.errors import TrialNotFound, WeightsNotKept
from tuner.settings import Settings
from tuner.specification import PrunerSpecification
from tuner.store import Database
from tuner.store import workers as worker_rows
from tuner.store.tables import Event, Slot, TrialFile
from tuner.store.trial_outcome import TrialOutcome

Create = Callable[..., int]

# The rate is high enough for the best epoch to be neither the first nor the last.
WORSE: dict[str, Any] = {"epochs": 9, "stopping_step": 1, "learning_rate": 0.3, "noise": 2.0}


def work(settings: Settings) -> None:
    run_worker(settings, exit_when_idle=True)


def kept(settings: Settings, study_id: int) -> dict[int, list[str]]:
    """Files by trial."""
    folder = settings.artifacts / "studies" / str(study_id) / "trials"
    return {int(path.name): sorted(file.name for file in path.iterdir()) for path in sorted(folder.iterdir())}


def ranked(database: Database, name: str = "study") -> list[int]:
    """Numbers of the trials with a value, the best first."""
    found = [trial for trial in optuna.load_study(study_name=name, storage=database.storage).trials if trial.values]
    return [trial.number for trial in sorted(found, key=lambda trial: (-(trial.value or 0.0), trial.number))]


def last_epoch(database: Database, number: int) -> int:
    found = optuna.load_study(study_name="study", storage=database.storage).trials[number]
    return max(found.intermediate_values)


def test_what_is_kept_of_a_trial_is_its_best_epoch(database: Database, settings: Settings, create: Create) -> None:
    study_id = create(space={"width": [8]}, config=WORSE)
    work(settings)
    (trial,) = optuna.load_study(study_name="study", storage=database.storage).trials
    left = TrialOutcome.read(trial.user_attrs)
    assert left.best_epoch is not None
    assert left.best_epoch < last_epoch(database, 0)
    assert kept(settings, study_id) == {0: ["best.pth"]}
    path = final_checkpoint(settings.artifacts, study_id, 0)
    content = load_checkpoint(path)
    assert (content["epoch"], content["best_valid_score"]) == (left.best_epoch - 1, trial.value)
    section = content["rectuner"]
    assert (section["best_epoch"], section["best_valid_result"]) == (left.best_epoch, left.valid_result)
    assert section["test_result"] == left.test_result
    # The weights themselves: tested again, and as pictures read them.
    restored = restore(path)
    assert all(value.equal(content["state_dict"][name]) for name, value in restored.model.state_dict().items())
    again = start_run(
        get_model("Tiny"), "finetune", restored.config, load_dataset(restored.config), initial=path
    ).result()
    assert again.test_result == left.test_result


class Killed(BaseException):
    """Nothing of a worker handles it."""


def test_a_trial_that_is_killed_between_its_weights_and_its_end_ends_the_same(
    database: Database, settings: Settings, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    create("straight", space={"width": [8]}, config=WORSE)
    work(settings)
    straight = read_weights(database, settings.artifacts, "straight")

    def kill(*_arguments: object) -> None:
        raise Killed

    study_id = create(space={"width": [8]}, config=WORSE)
    with monkeypatch.context() as patched:
        patched.setattr(trials, "end_trial", kill)
        with pytest.raises(Killed):
            work(settings)
    assert kept(settings, study_id) == {0: ["best.pth", "finetune.pth"]}
    with database.transaction() as session:
        worker = session.scalars(sa.select(Slot.worker_id).where(Slot.study_id == study_id)).one()
        session.execute(sa.text("UPDATE rectuner_workers SET state = 'running'"))
        worker_rows.expire_worker(session, worker or "")
    work(settings)
    found = [optuna.load_study(study_name=name, storage=database.storage).trials[0] for name in ("straight", "study")]
    assert found[0].value == found[1].value
    assert found[0].user_attrs["test_result"] == found[1].user_attrs["test_result"]
    assert len(found[1].intermediate_values) == len(found[0].intermediate_values)
    ended = read_weights(database, settings.artifacts, "study").content
    assert all(value.equal(straight.content["state_dict"][name]) for name, value in ended["state_dict"].items())
    assert kept(settings, study_id) == {0: ["best.pth"]}


@pytest.mark.parametrize(("keep", "whose"), [("best", 1), (2, 2), ("all", 4), (9, 4)])
def test_weights_are_kept_of_whom_the_study_says(
    database: Database, settings: Settings, create: Create, keep: str | int, whose: int
) -> None:
    study_id = create(space={"width": [2, 4, 6, 8]}, keep=keep, config={"epochs": 1})
    work(settings)
    best = ranked(database)[:whose]
    assert set(kept(settings, study_id)) == set(best)
    weights = insight.get_study(database, study_id).weights
    sizes = {number: final_checkpoint(settings.artifacts, study_id, number).stat().st_size for number in best}
    assert (weights.keep, weights.trials, weights.size) == (keep, whose, sum(sizes.values()))
    shown = {trial.number: trial.weights_bytes for trial in insight.list_trials(database, study_id).items}
    assert shown == {number: sizes.get(number) for number in range(4)}


def test_all_are_also_those_that_were_pruned(database: Database, settings: Settings, create: Create) -> None:
    pruner = PrunerSpecification(name="patient", options={"patience": 0})
    config = {"epochs": 50, "stopping_step": 50}
    study_id = create(space={"finetune.learning_rate": [5.0]}, pruner=pruner, keep="all", config=config)
    work(settings)
    (trial,) = optuna.load_study(study_name="study", storage=database.storage).trials
    assert kept(settings, study_id) == {0: ["best.pth"]}
    content = read_weights(database, settings.artifacts, study_id, 0).content
    assert content["epoch"] + 1 == trial.user_attrs["best_epoch"]
    assert (content["best_valid_score"], content["rectuner"]["test_result"]) == (trial.value, None)


def test_beyond_the_bound_the_worst_trials_weights_go(database: Database, settings: Settings, create: Create) -> None:
    study_id = create(space={"eval_batch_size": [100, 200, 300]}, keep="all")
    work(settings)
    size = final_checkpoint(settings.artifacts, study_id, 0).stat().st_size
    remove_ended(database, settings.artifacts, 2.5 * size)
    assert set(kept(settings, study_id)) == {0, 1}
    remove_ended(database, settings.artifacts, 0.0)
    remove_ended(database, settings.artifacts, 0.0)
    assert set(kept(settings, study_id)) == {0}
    with database.session() as session:
        said = session.scalars(sa.select(Event.message).where(Event.kind == "weights").order_by(Event.id)).all()
    assert [text.partition(" are deleted")[0] for text in said] == [
        "The weights of trials 2",
        "The weights of trials 1",
    ]
    assert "TUNER_WEIGHTS_GB" in said[0]


@pytest.mark.parametrize("keep", [0, -1, "some", 2.5, True, None])
def test_what_is_to_be_kept_is_checked(create: Create, keep: object) -> None:
    with pytest.raises(ValueError, match="write best, all, or how many of the best trials"):
        create(keep=keep)


def test_weights_that_are_not_there_say_whose_are_and_how_to_get_these(
    database: Database, settings: Settings, create: Create
) -> None:
    study_id = create(space={"width": [4, 8], "trouble": ["none", "raise"]})
    with pytest.raises(WeightsNotKept, match="No trial of study has completed"):
        read_weights(database, settings.artifacts, "study")
    work(settings)
    best, other = ranked(database)
    found = read_weights(database, settings.artifacts, "study")
    assert (found.number, found.file_name, found.ended) == (best, f"study-trial-{best}.pth", True)
    with pytest.raises(WeightsNotKept, match=rf"weights: {best}\. .* tuner trial retrain study {other}$"):
        read_weights(database, settings.artifacts, "study", other)
    (failed,) = {0, 1, 2, 3} - set(ranked(database)) - {min({0, 1, 2, 3} - set(ranked(database)))}
    with pytest.raises(WeightsNotKept, match=rf"Trial {failed} of study is failed .* Trials with weights: {best}\.$"):
        read_weights(database, settings.artifacts, "study", failed)
    with pytest.raises(TrialNotFound, match="study has no trial 9"):
        read_weights(database, settings.artifacts, study_id, 9)


def test_of_a_trial_that_runs_the_best_epoch_so_far_is_read(
    database: Database, settings: Settings, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = create(space={"width": [8]}, config=WORSE)
    seen: list[Any] = []

    def look(run: Any, *_arguments: object) -> Any:
        state = load_checkpoint(trial_folder(settings.artifacts, study_id, 0) / "finetune.pth")
        seen.append((state, read_weights(database, settings.artifacts, "study", 0)))
        raise Killed

    monkeypatch.setattr(trials.TrialRun, "_end", look)
    with pytest.raises(Killed):
        work(settings)
    ((state, found),) = seen
    assert found.epoch == state["rectuner"]["best_epoch"] < state["epoch"] + 1
    assert not found.ended
    assert all(
        value.equal(state["rectuner"]["best_weights"][name]) for name, value in found.content["state_dict"].items()
    )


def test_the_best_trial_of_an_earlier_version_is_read_from_the_state_that_it_kept(
    database: Database, settings: Settings, create: Create
) -> None:
    study_id = create(space={"width": [8]}, config=WORSE)
    work(settings)
    content = load_checkpoint(final_checkpoint(settings.artifacts, study_id, 0))
    folder = trial_folder(settings.artifacts, study_id, 0)
    (folder / "best.pth").rename(folder / "finetune.pth")
    with database.transaction() as session:
        session.execute(sa.delete(TrialFile))
    remove_ended(database, settings.artifacts, 1e9)
    assert trial_weights(database, settings.artifacts, "study", 0).name == "finetune.pth"
    assert read_weights(database, settings.artifacts, "study", 0).epoch == content["epoch"] + 1


def test_what_is_kept_does_not_make_another_study(specification: Callable[..., Any]) -> None:
    assert same_study(specification(keep="all"), specification()) == []
