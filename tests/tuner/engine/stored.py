"""A trial with its files, and the parts of the engine that go on from them, without a worker around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from model.data import SequentialDataset, load_dataset
from model.run import StageRun
from tuner.engine.files.artifact_store import join_store
from tuner.engine.plan import make_plan
from tuner.engine.search.trials import OptunaTrials
from tuner.engine.work.driver import resumed
from tuner.engine.work.lease import LeaseKeeper
from tuner.engine.work.stage_cache import StageCache
from tuner.engine.work.trial import TrialRun, TrialRunner, _OwnStates
from tuner.settings import Settings
from tuner.specification import StudySpecification
from tuner.store import Database, claims
from tuner.store.tables import Checkpoint, Study, TrialFile, Worker


@dataclass(frozen=True)
class Stored:
    """A trial that has run, with its files, and the engine as a worker that goes on with it sees it."""

    database: Database
    root: Path
    run: TrialRun
    dataset: SequentialDataset
    shared: Path
    own: Path

    def forget_digests(self) -> None:
        """As of an older version, or of a worker that was killed before it wrote the rows."""
        with self.database.transaction() as session:
            session.execute(sa.delete(TrialFile))
            session.execute(sa.update(Checkpoint).values(sha256=None))

    def resumed(self) -> StageRun | None:
        """The trial's own stage as it would be gone on with."""
        config = self.run._config(self.run.plan.own_stage)
        return resumed(_OwnStates(self.run), lambda: self.run._fresh(config, self.dataset))

    def begun(self) -> dict[str, Any]:
        """Weights after the shared stage, which is run again where its checkpoint can't be used."""
        return self.run._started(self.run._config(self.run.plan.own_stage), self.dataset).model.state_dict()


def store(database: Database, settings: Settings, create: Callable[..., int]) -> Stored:
    """A trial that has run for an epoch, and whose worker holds it."""
    create("first", space={"width": [4]}, config={"epochs": 2})
    join_store(database, settings.artifacts)
    with database.transaction() as session:
        session.add(Worker(id="w", host="h", pid=1, lease_expires=2.0**40))
        session.flush()
        claim = claims.claim(session, database.now(session), "w", 2.0**30)
        study = session.scalars(sa.select(Study)).one()
    assert claim is not None
    keeper = LeaseKeeper(database, "w", 2.0**30)
    cache = StageCache(database, settings.artifacts, keeper, 1e9)
    plan = make_plan(StudySpecification.model_validate(study.specification))
    trials = OptunaTrials(database, study, plan)
    number = trials.begin(claim)
    with database.transaction() as session:
        claims.link(session, claim, number)
    runner = TrialRunner(database, settings.artifacts, keeper, cache, study, plan, trials, load_dataset)
    run = TrialRun(runner, claim, trials.open(number))
    config = run._config(plan.own_stage)
    dataset = load_dataset(config)
    begun = run._started(config, dataset)
    run._record(begun.run_epoch())
    own = _OwnStates(run)
    own.keep(begun, 0)
    (shared,) = settings.artifacts.glob("stages/*/3.pth")
    return Stored(database, settings.artifacts, run, dataset, shared, own.path)
