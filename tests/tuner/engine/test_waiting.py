"""Trials whose shared stage another worker trains: who waits, who is put back, and what is said of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from tuner import insight
from tuner.engine.plan import make_plan
from tuner.engine.work.entry import run_worker
from tuner.engine.work.lease import Interrupted, Interruption, StageLost
from tuner.engine.work.presence import register
from tuner.engine.work.stage_cache import StageRequest
from tuner.engine.work.worker import WorkerLoop, WorkerOptions
from tuner.settings import Settings
from tuner.specification import SamplerSpecification, StudySpecification
from tuner.store import Database, TrialState
from tuner.store import stages as stage_rows
from tuner.store.claims import Claim
from tuner.store.tables import Checkpoint, Progress, SharedStage, Slot, Worker

Create = Callable[..., int]
Make = Callable[..., StudySpecification]


@pytest.fixture
def loop(database: Database, settings: Settings) -> WorkerLoop:
    """A worker that does what the test tells it, and nothing on its own."""
    made = WorkerLoop(database, settings, WorkerOptions(worker_id="mine"))
    register(database, "mine", settings.lease_seconds)
    return made


def hold_stage(database: Database, settings: Settings, create: Create) -> str:
    """Let another worker hold the stage, for trial 0 of "first"; 3 epochs were trained, of which nothing is kept."""
    create("first", space={"finetune.learning_rate": [0.01]})
    run_worker(settings, exit_when_idle=True)
    with database.transaction() as session:
        key = session.scalars(sa.select(SharedStage.key)).one()
        now = database.now(session)
        session.add(Worker(id="other", host="there", pid=7, lease_expires=now + 60))
        session.execute(sa.delete(Checkpoint))
        changed = {"state": TrialState.RUNNING, "worker_id": "other", "lease_expires": now + 60}
        session.execute(sa.update(Slot).values(**changed))
        assert stage_rows.acquire(session, now, key, "other", 60, 3)
    return key


def begin(loop: WorkerLoop) -> Claim:
    claim = loop._claim()
    assert claim is not None
    loop._run(claim)
    return claim


WAITS = "waits for pretrain epoch 3, which trial 0 of first (there:7) trains: 3 done"


def test_a_grids_trial_is_put_back_and_says_what_it_waits_for(
    database: Database, settings: Settings, create: Create, loop: WorkerLoop
) -> None:
    hold_stage(database, settings, create)
    create("second", space={"finetune.learning_rate": [0.02, 0.03]})
    claim = begin(loop)
    with database.session() as session:
        slot = session.get_one(Slot, claim.slot_id)
        assert (slot.state, slot.worker_id) == (TrialState.WAITING, None)
        assert slot.not_before > database.now(session)
    trial = insight.get_trial(database, "second", 0)
    assert trial.progress is not None
    assert trial.progress.note == WAITS
    # Neither it nor the other one of its group is claimed while the stage is busy.
    assert loop._claim() is None


def test_a_sampled_trial_waits_and_says_for_what(
    database: Database, settings: Settings, create: Create, loop: WorkerLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_stage(database, settings, create)
    create("second", sampler=SamplerSpecification(name="random"), max_trials=1)
    said: list[str | None] = []

    def look(*, between_epochs: bool = False) -> None:
        with database.session() as session:
            said.extend(session.scalars(sa.select(Progress.note)))
        if said:  # it also looks while the data set is read
            raise Interrupted(Interruption.SHUTDOWN)

    monkeypatch.setattr(loop.keeper, "check", look)
    begin(loop)
    assert said == [WAITS]


def test_who_has_lost_a_stage_writes_none_of_its_files(
    database: Database, settings: Settings, create: Create, loop: WorkerLoop, specification: Make
) -> None:
    create(space={"width": [4]})
    claim = loop._claim()
    assert claim is not None
    runner = loop._runner(claim.study_id)
    plan = make_plan(specification(space={"width": [4]}))
    config_of = lambda stage: plan.stage_config(stage, {"width": 4})  # noqa: E731
    dataset = loop.datasets.load(config_of(plan.own_stage))
    (link,) = plan.chain(config_of, dataset.fingerprint)
    request = StageRequest(link, plan.definition, dataset)
    run = loop.cache._fresh(request)
    loop.keeper._stage_lost = True
    with pytest.raises(StageLost):
        loop.cache._save(run, request.key, {0})
    assert list(runner.artifacts.glob("stages/*/*")) == []


def test_nobody_is_named_where_nobody_trains(database: Database) -> None:
    with database.transaction() as session:
        stage_rows.ensure(session, "key", model="m", stage="s", dataset="d")
        assert stage_rows.trainer(session, "key") is None
        session.add(Worker(id="w", host="h", pid=1, lease_expires=time.time() + 60))
        session.flush()
        stage_rows.acquire(session, database.now(session), "key", "w", 60, 3)
        assert stage_rows.trainer(session, "key") == "worker h:1"
