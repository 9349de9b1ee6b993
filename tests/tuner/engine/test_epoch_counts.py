"""Nobody pretrains the same thing twice: epochs that were really run, with one worker and with four."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa

from tuner import insight, space
from tuner.space import SpaceParameter
from tuner.store import Database
from tuner.store.tables import StageEpoch

Create = Callable[..., int]
StartWorker = Callable[..., "subprocess.Popen[bytes]"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DOCUMENTED = Path(__file__).parents[3] / "studies" / "s3rec-ml-100k" / "hyper.test"
# S3Rec as small as it gets: an epoch takes a fraction of a second, and 150 of them are 150.
SMALL = {
    "hidden_size": 4,
    "inner_size": 4,
    "n_layers": 1,
    "n_heads": 1,
    "MAX_ITEM_LIST_LENGTH": 4,
    "train_batch_size": 1024,
    "epochs": 1,
}


def parameters(file: Path) -> dict[str, SpaceParameter]:
    return {parameter.name: parameter for parameter in space.load(file).parameters}


def work(start: StartWorker, workers: int) -> None:
    processes = [start() for _ in range(workers)]
    assert [process.wait(240) for process in processes] == [0] * workers


def computed(database: Database) -> list[int]:
    """How often each epoch of shared stages was computed: counted when it ended, whoever asked for it."""
    with database.session() as session:
        return list(session.scalars(sa.select(StageEpoch.times_run).order_by(StageEpoch.epoch)))


def values(database: Database, name: str) -> dict[str, float | None]:
    trials = optuna.load_study(study_name=name, storage=database.storage).trials
    return {str(sorted(trial.params.items())): trial.value for trial in trials}


@pytest.mark.parametrize("workers", [1, 4])
def test_the_documented_study_runs_150_pretraining_epochs_and_not_300(
    database: Database, create: Create, start: StartWorker, workers: int
) -> None:
    create(model="S3Rec", space=parameters(DOCUMENTED), config=SMALL)
    work(start, workers)
    assert computed(database) == [1] * 150
    shown = insight.get_study(database, "study")
    assert shown.counts == {"completed": 3}
    assert (shown.epochs.asked, shown.epochs.run, shown.epochs.reused) == (300, 150, 150)


def test_a_grid_of_36_trials_runs_150_pretraining_epochs_and_not_3600(
    database: Database, create: Create, start: StartWorker, forget_stages: Callable[[], None]
) -> None:
    grid = {
        "pretrain_epochs": [50, 100, 150],
        "finetune.learning_rate": [0.1, 0.05, 0.02, 0.01],
        "stopping_step": [1, 2, 3],
    }
    found = []
    for workers in (1, 4):
        forget_stages()
        name = f"with-{workers}"
        create(name, space=grid, config={"epochs": 3})
        work(start, workers)
        assert computed(database) == [1] * 150
        shown = insight.get_study(database, name)
        assert shown.counts == {"completed": 36}
        assert (shown.epochs.asked, shown.epochs.run, shown.epochs.reused) == (3600, 150, 3450)
        found.append(values(database, name))
    assert found[0] == found[1]
    assert len(set(found[0].values())) > 3
