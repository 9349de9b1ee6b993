from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from model.data import synthetic
from tuner.engine.fleet.local import environment
from tuner.settings import Settings
from tuner.space import SearchSpace, SpaceParameter
from tuner.specification import StudySpecification
from tuner.store import Database
from tuner.store.tables import SharedStage

PLUGIN = Path(__file__).parent / "plugin"

MakeSpecification = Callable[..., StudySpecification]


@pytest.fixture(scope="session", autouse=True)
def _tiny_model() -> Iterator[None]:
    """Let the plug-in be found here and in worker processes."""
    before = os.environ.get("PYTHONPATH")
    sys.path.insert(0, str(PLUGIN))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PLUGIN), before]))
    yield
    sys.path.remove(str(PLUGIN))
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    synthetic.write(root, "toy", users=60, items=20, classes=4, events=8, seed=1)
    return root


@pytest.fixture
def settings(database_url: str, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An installation of its own, with leases short enough to see them expire."""
    monkeypatch.setenv("TUNER_DATA_ROOT", str(data_root))
    return Settings(home=tmp_path, database_url=database_url, data_root=data_root, lease_seconds=3.0, workers=1)


@pytest.fixture
def specification() -> MakeSpecification:
    """A study of the tiny model; the space as keyword arguments, dots written as two underscores."""

    def make(name: str = "study", **options: Any) -> StudySpecification:
        space = options.pop("space", {"finetune.learning_rate": [0.01, 0.1]})
        parameters = tuple(
            value if isinstance(value, SpaceParameter) else SpaceParameter(key, "choice", tuple(value))
            for key, value in space.items()
        )
        config = {"epochs": 3, "train_batch_size": 128, "stopping_step": 10, "metrics": ["NDCG"]}
        config |= {"valid_metric": "NDCG@10", "learning_rate": 0.05, "pretrain_epochs": 3}
        searched = {key.rpartition(".")[2] for key in space if "." not in key}
        config = {key: value for key, value in config.items() if key not in searched}
        return StudySpecification(
            name=name,
            model=options.pop("model", "Tiny"),
            dataset=options.pop("dataset", "toy"),
            space=SearchSpace(parameters).to_json(),
            config=config | options.pop("config", {}),
            **options,
        )

    return make


@pytest.fixture
def forget_stages(database: Database, settings: Settings) -> Callable[[], None]:
    """Delete every shared stage with its files, so that the next study finds nothing to share."""

    def forget() -> None:
        with database.transaction() as session:
            session.execute(sa.delete(SharedStage))
        shutil.rmtree(settings.artifacts / "stages", ignore_errors=True)

    return forget


@pytest.fixture
def create(database: Database, settings: Settings, specification: MakeSpecification) -> Callable[..., int]:
    """Create a study; returns its id."""
    from tuner.engine.studies import creation

    def make(name: str = "study", **options: Any) -> int:
        return creation.create(database, settings, specification(name, **options)).id

    return make


@pytest.fixture
def start(settings: Settings) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a worker process that ends when there is no work left."""
    started: list[subprocess.Popen[bytes]] = []

    def start_worker(*arguments: str, **changed: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tuner.engine.work.entry", "--idle-exit", "0", *arguments]
        env = environment(settings.model_copy(update=changed))
        started.append(subprocess.Popen(command, env=env))
        return started[-1]

    yield start_worker
    for process in started:
        process.kill()
        process.wait()
