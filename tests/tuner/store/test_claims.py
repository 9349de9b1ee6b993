from __future__ import annotations

import multiprocessing
from collections import Counter

import pytest
import sqlalchemy as sa

from tuner.store import Database, StudyState, TrialState, claims, stages
from tuner.store import workers as worker_rows
from tuner.store.claims import Claim
from tuner.store.states import Origin, WorkerState
from tuner.store.tables import Event, SharedStage, Slot, Study, Worker

LEASE = 30.0


def add_study(database: Database, name: str = "study", slots: int = 3, **changes: object) -> int:
    with database.transaction() as session:
        study = Study(
            name=name,
            specification={},
            optuna_name=name,
            optuna_id=1,
            metric="ndcg@10",
            direction="maximize",
            sampler={},
            pruner={},
            max_trials=slots,
        )
        for key, value in changes.items():
            setattr(study, key, value)
        session.add(study)
        session.flush()
        session.add_all(Slot(study_id=study.id, ordinal=n, origin=Origin.SAMPLED) for n in range(slots))
        return study.id


@pytest.fixture
def worker(database: Database) -> str:
    with database.transaction() as session:
        session.add_all(Worker(id=name, host="h", pid=1, lease_expires=0.0) for name in ("a", "b"))
    return "a"


def claim(database: Database, worker: str = "a", now: float = 100.0) -> Claim | None:
    with database.transaction() as session:
        return claims.claim(session, now, worker, LEASE)


def slot(database: Database, slot_id: int) -> Slot:
    with database.session() as session:
        return session.get_one(Slot, slot_id)


def test_trials_are_claimed_in_order_and_once(database: Database, worker: str) -> None:
    add_study(database)
    claimed = [claim(database) for _ in range(4)]
    assert [one and one.ordinal for one in claimed] == [0, 1, 2, None]


def test_the_first_claim_starts_the_study(database: Database, worker: str) -> None:
    study_id = add_study(database)
    claim(database)
    with database.session() as session:
        study = session.get_one(Study, study_id)
    assert study.state is StudyState.RUNNING
    assert study.started_at is not None


@pytest.mark.parametrize("state", [StudyState.PAUSED, StudyState.STOPPED, StudyState.CANCELLED])
def test_studies_that_do_not_run_give_out_nothing(database: Database, worker: str, state: StudyState) -> None:
    add_study(database, state=state)
    assert claim(database) is None


def test_a_stopping_study_gives_out_what_was_begun(database: Database, worker: str) -> None:
    study_id = add_study(database, state=StudyState.STOPPING)
    with database.transaction() as session:
        session.execute(sa.update(Slot).where(Slot.ordinal == 2).values(optuna_number=0))
    claimed = claim(database)
    assert claimed is not None
    assert (claimed.study_id, claimed.ordinal) == (study_id, 2)
    assert claim(database) is None


def test_a_study_limits_its_trials_at_once(database: Database, worker: str) -> None:
    add_study(database, workers=2)
    assert [claim(database) is not None for _ in range(3)] == [True, True, False]


def test_studies_take_turns(database: Database, worker: str) -> None:
    first, second = add_study(database, "one"), add_study(database, "two")
    claimed = [claim(database) for _ in range(4)]
    assert [one and one.study_id for one in claimed] == [first, second, first, second]


def test_enqueued_trials_go_first_and_begun_ones_before_them(database: Database, worker: str) -> None:
    add_study(database)
    with database.transaction() as session:
        session.execute(sa.update(Slot).where(Slot.ordinal == 1).values(priority=claims.PRIORITY_ENQUEUED))
        session.execute(
            sa.update(Slot).where(Slot.ordinal == 2).values(optuna_number=7, priority=claims.PRIORITY_BEGUN)
        )
    claimed = [claim(database) for _ in range(3)]
    assert [one and one.ordinal for one in claimed] == [2, 1, 0]


def test_a_renewed_claim_is_not_expired(database: Database, worker: str) -> None:
    add_study(database)
    ours = claim(database, now=100.0)
    assert ours is not None
    with database.transaction() as session:
        assert claims.renew(session, 120.0, ours, LEASE) is StudyState.RUNNING
    with database.session() as session:
        assert claims.expired(session, 149.0) == []
        assert [one.id for one in claims.expired(session, 151.0)] == [ours.slot_id]


def test_who_lost_a_claim_can_change_nothing(database: Database, worker: str) -> None:
    add_study(database)
    old = claim(database)
    assert old is not None
    with database.transaction() as session:
        new = claims.take_over(session, 200.0, slot(database, old.slot_id), LEASE)
        assert new is not None
    with database.transaction() as session:
        assert claims.renew(session, 201.0, old, LEASE) is None
        assert not claims.release(session, old)
        assert not claims.finish(session, old, TrialState.COMPLETED)
        assert claims.finish(session, new, TrialState.LOST)
    assert slot(database, old.slot_id).state is TrialState.LOST


def test_only_one_takes_over_an_expired_claim(database: Database, worker: str) -> None:
    add_study(database)
    ours = claim(database)
    assert ours is not None
    expired = slot(database, ours.slot_id)
    with database.transaction() as session:
        taken = [claims.take_over(session, 200.0, expired, LEASE) for _ in range(2)]
    assert [one is not None for one in taken] == [True, False]


def test_a_live_claim_can_not_be_taken_over(database: Database, worker: str) -> None:
    add_study(database)
    ours = claim(database, now=100.0)
    assert ours is not None
    with database.transaction() as session:
        assert claims.take_over(session, 129.0, slot(database, ours.slot_id), LEASE) is None


def test_trials_whose_pretraining_runs_elsewhere_are_passed_over(database: Database, worker: str) -> None:
    add_study(database)
    with database.transaction() as session:
        session.execute(sa.update(Slot).where(Slot.ordinal < 2).values(stage_key="k", stage_epochs=5))
        stages.ensure(session, "k", model="m", stage="pretrain", dataset="d")
        assert stages.acquire(session, 100.0, "k", "b", LEASE, 9)
    first = claim(database, "a", now=110.0)
    assert first is not None
    assert first.ordinal == 2
    assert claim(database, "a", now=110.0) is None
    with database.transaction() as session:
        stages.add_checkpoint(session, "k", 5, size=1, kept=True, sha256="0" * 64)
    assert claim(database, "a", now=110.0) is not None


def test_a_stage_whose_holder_died_blocks_nobody(database: Database, worker: str) -> None:
    add_study(database, slots=1)
    with database.transaction() as session:
        session.execute(sa.update(Slot).values(stage_key="k", stage_epochs=5))
        stages.ensure(session, "k", model="m", stage="pretrain", dataset="d")
        assert stages.acquire(session, 100.0, "k", "b", LEASE, 9)
    assert claim(database, "a", now=131.0) is not None


def test_expiring_a_worker_frees_what_it_held(database: Database, worker: str) -> None:
    add_study(database)
    ours = claim(database, now=100.0)
    assert ours is not None
    with database.transaction() as session:
        worker_rows.expire_worker(session, "a")
    with database.session() as session:
        assert [one.id for one in claims.expired(session, 100.0)] == [ours.slot_id]


def test_who_runs_a_pretraining_gets_the_trials_that_need_it(database: Database, worker: str) -> None:
    add_study(database)
    with database.transaction() as session:
        session.execute(sa.update(Slot).where(Slot.ordinal < 2).values(stage_key="k", stage_epochs=5))
        stages.ensure(session, "k", model="m", stage="pretrain", dataset="d")
        assert stages.acquire(session, 100.0, "k", "b", LEASE, 9)
    mine = claim(database, "b", now=110.0)
    assert mine is not None
    assert mine.ordinal == 0


def test_a_trial_that_is_given_back_for_later_waits_until_then(database: Database, worker: str) -> None:
    add_study(database, slots=1)
    ours = claim(database, now=100.0)
    assert ours is not None
    with database.transaction() as session:
        assert claims.release(session, ours, not_before=150.0)
    assert claim(database, now=149.0) is None
    assert claim(database, now=150.0) is not None


def test_a_trial_that_is_given_back_after_its_study_was_cancelled_is_left_to_the_sweep(
    database: Database, worker: str
) -> None:
    study_id = add_study(database, slots=1)
    ours = claim(database, now=100.0)
    assert ours is not None
    with database.transaction() as session:
        session.execute(sa.update(Study).where(Study.id == study_id).values(state=StudyState.CANCELLED))
    with database.transaction() as session:
        assert claims.release(session, ours)
        assert [one.id for one in claims.expired(session, 100.0)] == [ours.slot_id]
    assert slot(database, ours.slot_id).state is TrialState.RUNNING


def test_a_trial_that_gets_on_has_no_losses_any_more(database: Database, worker: str) -> None:
    add_study(database, slots=1)
    with database.transaction() as session:
        session.execute(sa.update(Slot).values(losses=3))
    ours = claim(database)
    assert ours is not None
    with database.transaction() as session:
        claims.note_advance(session, ours, 1)
    assert slot(database, ours.slot_id).losses == 0


def test_a_trial_that_repeats_what_it_had_reached_keeps_its_losses(database: Database, worker: str) -> None:
    add_study(database, slots=1)
    with database.transaction() as session:
        session.execute(sa.update(Slot).values(losses=3, furthest=2))
    ours = claim(database)
    assert ours is not None
    for reached, losses in ((1, 3), (2, 3), (3, 0)):
        with database.transaction() as session:
            claims.note_advance(session, ours, reached)
        assert slot(database, ours.slot_id).losses == losses


def test_silent_workers_are_lost_and_what_they_held_is_free(database: Database, worker: str) -> None:
    with database.transaction() as session:
        session.execute(sa.update(Worker).where(Worker.id == "b").values(state=WorkerState.STOPPED))
        session.add(Worker(id="c", host="h", pid=1, lease_expires=200.0))
        for key, holder, expires in (("k", "a", 90.0), ("l", "c", 200.0)):
            stages.ensure(session, key, model="m", stage="pretrain", dataset="d")
            session.execute(
                sa.update(SharedStage).where(SharedStage.key == key).values(holder=holder, lease_expires=expires)
            )
        assert worker_rows.sweep_workers(session, 100.0) == 1
        assert worker_rows.sweep_workers(session, 100.0) == 0
    with database.session() as session:
        states = dict(session.execute(sa.select(Worker.id, Worker.state)).all())
        holders = dict(session.execute(sa.select(SharedStage.key, SharedStage.holder)).all())
        events = session.execute(sa.select(Event.kind, Event.message)).all()
    assert states == {"a": WorkerState.LOST, "b": WorkerState.STOPPED, "c": WorkerState.IDLE}
    assert holders == {"k": None, "l": "c"}
    assert events == [("worker_lost", "Worker a (process 1 on h) was not heard of for longer than its lease.")]


def test_a_worker_that_signed_off_did_not_die(database: Database, worker: str) -> None:
    with database.transaction() as session:
        session.execute(sa.update(Worker).where(Worker.id == "a").values(state=WorkerState.STOPPED))
        assert not worker_rows.expire_worker(session, "a")
        assert worker_rows.expire_worker(session, "b")
        assert worker_rows.expire_worker(session, "never began")


def claim_all(url: str, worker: str) -> None:
    database = Database(url)
    while True:
        with database.transaction() as session:
            claimed = claims.claim(session, database.now(session), worker, LEASE)
            if claimed is None:
                break
            session.execute(
                sa.text("INSERT INTO claimed (slot, worker) VALUES (:slot, :worker)"),
                {"slot": claimed.slot_id, "worker": worker},
            )
    database.close()


@pytest.mark.timeout(1800)  # however busy the machine is
@pytest.mark.parametrize(("slots", "processes"), [(200, 4), pytest.param(10_000, 8, marks=pytest.mark.slow)])
def test_no_trial_is_claimed_twice(database: Database, worker: str, slots: int, processes: int) -> None:
    add_study(database, slots=slots)
    with database.transaction() as session:
        session.execute(sa.text("CREATE TABLE claimed (slot INTEGER, worker TEXT)"))
    url = database.url.render_as_string(hide_password=False)
    context = multiprocessing.get_context("spawn")
    running = [context.Process(target=claim_all, args=(url, "ab"[n % 2])) for n in range(processes)]
    for process in running:
        process.start()
    for process in running:
        process.join()
        assert process.exitcode == 0
    with database.session() as session:
        found = Counter(session.scalars(sa.text("SELECT slot FROM claimed")))
    assert len(found) == slots
    assert set(found.values()) == {1}
