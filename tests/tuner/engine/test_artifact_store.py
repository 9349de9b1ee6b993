"""One database, one artifact folder: another folder is refused, and nothing is lost by the mistake."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from stored import store

from tuner.engine.files.artifact_store import FILE, adopt_store, check_store, join_store
from tuner.engine.fleet.supervisor import Supervisor
from tuner.engine.studies import steering
from tuner.engine.work import entry, outage_watch
from tuner.engine.work.entry import run_worker
from tuner.errors import StoreAway, WrongStore
from tuner.settings import Settings
from tuner.store import Database, TrialState
from tuner.store.tables import Checkpoint, Event, Slot, StageEpoch, Study

Create = Callable[..., int]


def elsewhere(settings: Settings, folder: Path) -> Settings:
    return settings.model_copy(update={"artifact_root": folder})


def epochs_run(database: Database) -> int:
    with database.session() as session:
        return session.scalar(sa.select(sa.func.sum(StageEpoch.times_run))) or 0


def test_a_second_folder_is_refused_and_nothing_is_deleted(
    database: Database, settings: Settings, create: Create, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two-stores test: two nodes on one database, each with a folder of its own."""
    create("first", space={"finetune.learning_rate": [0.01]})
    run_worker(settings, exit_when_idle=True)
    create("second", space={"finetune.learning_rate": [0.02]})
    other = elsewhere(settings, tmp_path / "other")
    files = sorted(settings.artifacts.rglob("*.pth"))
    with database.session() as session:
        rows = session.scalars(sa.select(Checkpoint.epoch)).all()
    with pytest.raises(WrongStore, match=rf"other: the artifact folder is not that of this database.*{FILE}.*adopt"):
        run_worker(other, exit_when_idle=True)
    with pytest.raises(WrongStore):
        Supervisor(other).start()
    monkeypatch.setenv("TUNER_DATABASE_URL", other.database)
    monkeypatch.setenv("TUNER_ARTIFACT_ROOT", str(other.artifacts))
    assert entry.main(["--idle-exit", "0"]) == 2
    assert files == sorted(settings.artifacts.rglob("*.pth"))
    assert not other.artifacts.exists()
    with database.session() as session:
        assert session.scalars(sa.select(Checkpoint.epoch)).all() == rows
        assert session.scalars(sa.select(Slot.state).order_by(Slot.id)).all()[-1] is TrialState.WAITING
    run_worker(settings, exit_when_idle=True)
    assert epochs_run(database) == 3  # it was there for the second study


def test_another_databases_folder_is_refused_before_its_files_are_deleted(
    database: Database, settings: Settings, create: Create, tmp_path: Path
) -> None:
    """Studies' ids, which name folders, begin at 1 in every database."""
    join_store(database, settings.artifacts)
    neighbour = Database(f"sqlite:///{tmp_path / 'neighbour.db'}")
    neighbour.upgrade()
    theirs = tmp_path / "theirs"
    join_store(neighbour, theirs)
    neighbour.close()
    study_id = create()
    precious = theirs / "studies" / str(study_id) / "trials" / "0" / "finetune.pth"
    precious.parent.mkdir(parents=True)
    precious.touch()
    with pytest.raises(WrongStore, match="theirs: the artifact folder is another database's"):
        steering.delete_study(database, elsewhere(settings, theirs), study_id)
    assert precious.exists()
    with database.session() as session:
        assert session.get(Study, study_id) is not None


def test_a_folder_that_was_moved_is_known_again(database: Database, settings: Settings, tmp_path: Path) -> None:
    join_store(database, settings.artifacts)
    settings.artifacts.rename(tmp_path / "moved")
    join_store(database, tmp_path / "moved")
    with pytest.raises(WrongStore):
        join_store(database, settings.artifacts)


def test_a_lost_folder_is_replaced_on_request_and_its_files_are_made_again(
    database: Database, settings: Settings, create: Create, tmp_path: Path
) -> None:
    create("first", space={"finetune.learning_rate": [0.01]})
    run_worker(settings, exit_when_idle=True)
    other = elsewhere(settings, tmp_path / "other")
    adopt_store(database, other.artifacts)
    create("second", space={"finetune.learning_rate": [0.02]})
    run_worker(other, exit_when_idle=True)
    assert epochs_run(database) == 6
    with pytest.raises(WrongStore):
        check_store(database, settings.artifacts)


def test_looking_does_not_choose_the_folder(database: Database, tmp_path: Path) -> None:
    check_store(database, tmp_path / "one")
    assert not (tmp_path / "one").exists()
    join_store(database, tmp_path / "two")
    written = (tmp_path / "two" / FILE).read_text()
    join_store(database, tmp_path / "two")
    assert (tmp_path / "two" / FILE).read_text() == written


def test_where_the_folder_was_unmounted_nothing_is_missed_and_nothing_written(
    database: Database, settings: Settings, create: Create
) -> None:
    """An empty folder stands where the file system was mounted."""
    stored = store(database, settings, create)
    settings.artifacts.rename(settings.artifacts.with_name("unmounted"))
    settings.artifacts.mkdir()
    with database.session() as session:
        before = session.scalars(sa.select(Checkpoint.epoch)).all()
    with pytest.raises(FileNotFoundError, match="The artifact folder is away"):
        stored.begun()
    with database.session() as session:
        assert session.scalars(sa.select(Checkpoint.epoch)).all() == before
    assert list(settings.artifacts.iterdir()) == []


@pytest.fixture
def away(database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the folder's file system is now, which was mounted when a worker last looked."""
    monkeypatch.setattr(outage_watch, "LOOK_SECONDS", 0.05)
    join_store(database, settings.artifacts)
    return settings.artifacts.rename(settings.artifacts.with_name("unmounted"))


def waiting(database: Database) -> list[str]:
    """What workers that wait for the folder have said."""
    with database.session() as session:
        return list(session.scalars(sa.select(Event.message).where(Event.kind == "outage")))


@contextmanager
def once_it_waits(database: Database, step: Callable[[], object]) -> Iterator[None]:
    """Do something as soon as a worker has said that it waits."""

    def run() -> None:
        while not waiting(database):
            time.sleep(0.02)
        step()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("there", ["no folder", f"no file {FILE}"])
def test_a_worker_that_starts_while_its_folder_is_away_waits_for_it(
    database: Database, settings: Settings, create: Create, away: Path, there: str
) -> None:
    create(space={"width": [4]})
    shutil.rmtree(settings.artifacts)  # which creating a study makes
    if there != "no folder":
        settings.artifacts.mkdir()  # an empty folder stands where the file system was mounted

    def bring_back() -> None:
        if settings.artifacts.exists():
            settings.artifacts.rmdir()
        away.rename(settings.artifacts)

    with once_it_waits(database, bring_back):
        run_worker(settings, exit_when_idle=True)
    (said,) = waiting(database)
    assert "A worker that starts on " in said
    assert f"the artifact folder is away: this machine last found it here, and now there is {there}. Mount it." in said
    with database.session() as session:
        assert session.scalars(sa.select(Slot.state)).all() == [TrialState.COMPLETED]
        assert session.scalars(sa.select(Slot.attempt)).all() == [1]


def test_a_worker_that_waits_for_its_folder_refuses_another_one(
    database: Database, settings: Settings, create: Create, away: Path
) -> None:
    create(space={"width": [4]})
    neighbour = Database(f"sqlite:///{settings.artifacts.with_name('neighbour.db')}")
    neighbour.upgrade()
    with (
        once_it_waits(database, lambda: join_store(neighbour, settings.artifacts)),
        pytest.raises(WrongStore, match="is another database's"),
    ):
        run_worker(settings, exit_when_idle=True)
    neighbour.close()
    with database.session() as session:
        assert session.scalars(sa.select(Slot.attempt)).all() == [0]


def test_a_worker_that_waits_for_its_folder_goes_on_with_the_one_that_is_adopted(
    database: Database, settings: Settings, create: Create, away: Path
) -> None:
    create(space={"width": [4]})
    with once_it_waits(database, lambda: adopt_store(database, settings.artifacts)):
        run_worker(settings, exit_when_idle=True)
    with database.session() as session:
        assert session.scalars(sa.select(Slot.state)).all() == [TrialState.COMPLETED]


def test_a_worker_without_work_does_not_wait_for_its_folder(database: Database, settings: Settings, away: Path) -> None:
    run_worker(settings, exit_when_idle=True)
    assert len(waiting(database)) == 1
    assert not settings.artifacts.exists()


def test_a_supervisor_begins_while_the_folder_is_away(database: Database, settings: Settings, away: Path) -> None:
    supervisor = Supervisor(settings)
    supervisor.start()
    supervisor.stop()


def test_a_folder_that_can_not_be_read_is_away(database: Database, settings: Settings, away: Path) -> None:
    """A folder where the file should be stands for what no test can make: a server that does not answer."""
    (settings.artifacts / FILE).mkdir(parents=True)
    with pytest.raises(StoreAway, match=r"the artifact folder is away: Is a directory\. Mount it\."):
        check_store(database, settings.artifacts)
