"""Storage that is full or away: trials are given back, studies pause and go on; nothing fails."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
import torch

from model.errors import CheckpointUnreadable, DataError, DatasetNotFound
from tuner.engine.files.artifact_store import join_store
from tuner.engine.outage import ARTIFACTS, DATA, Places
from tuner.engine.studies import steering
from tuner.engine.work import outage_watch
from tuner.engine.work.entry import run_worker
from tuner.engine.work.failures import FailureKind, describe
from tuner.engine.work.outage_watch import OutageWatch
from tuner.insight import snapshot
from tuner.settings import Settings
from tuner.store import Database, StudyState, TrialState
from tuner.store import slots as slot_rows
from tuner.store import studies as study_rows
from tuner.store.tables import Epoch, Event, Slot, Study

Create = Callable[..., int]
Make = Callable[..., object]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again at once: nothing here waits for somebody to mend something by hand."""
    monkeypatch.setattr(outage_watch, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(outage_watch, "RETRY_DELAY_SECONDS", 0.0)


@pytest.fixture
def own_data(tmp_path: Path, data_root: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The installation with data that may be taken away."""
    own = tmp_path / "data"
    shutil.copytree(data_root / "toy", own / "toy")
    monkeypatch.setenv("TUNER_DATA_ROOT", str(own))
    return settings.model_copy(update={"data_root": own})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB that can be filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and os.geteuid() == 0
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if not mounted or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on the disk of ``folder``."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(folder).free < 4096
    return filler


def found(database: Database, study_id: int) -> Study:
    with database.session() as session:
        return session.get_one(Study, study_id)


@contextmanager
def meanwhile(step: Callable[[], None]) -> Iterator[None]:
    """Run ``step`` beside the block, and raise what it raised."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            step()
        except BaseException as error:  # noqa: BLE001 - raised below
            problems.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join(60)
    assert not thread.is_alive()
    if problems:
        raise problems[0]


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def pauses(database: Database, study_id: int) -> list[str]:
    with database.session() as session:
        mine = sa.select(Event.message).where(Event.study_id == study_id, Event.kind == "paused")
        return list(session.scalars(mine))


def epochs(database: Database) -> int:
    with database.session() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Epoch)) or 0


def check_completed(database: Database, study_id: int) -> None:
    assert found(database, study_id).state is StudyState.COMPLETED
    with database.session() as session:
        slots = session.scalars(sa.select(Slot)).all()
    assert {(slot.state, slot.losses, slot.failures) for slot in slots} == {(TrialState.COMPLETED, 0, 0)}


def values(database: Database, name: str) -> list[float | None]:
    return [trial.value for trial in optuna.load_study(study_name=name, storage=database.storage).trials]


def test_a_full_disk_pauses_the_study_until_there_is_room(
    database: Database, settings: Settings, create: Create, small_disk: Path
) -> None:
    settings = settings.model_copy(update={"artifact_root": small_disk / "artifacts"})
    study_id = create(config={"pretrain_epochs": 1, "epochs": 2})
    join_store(database, settings.artifacts)
    filler = fill(small_disk)
    seen: list[str | None] = []

    def make_room() -> None:
        wait(lambda: found(database, study_id).outage)
        seen.extend([found(database, study_id).outage, found(database, study_id).reason])
        assert not snapshot.take(database, "study").rests
        filler.unlink()

    with meanwhile(make_room):
        run_worker(settings, exit_when_idle=True)
    assert seen[0] == ARTIFACTS
    assert str(seen[1]).startswith("the artifact folder is full: No space left on device")
    assert str(seen[1]).endswith("Make room; the study then goes on by itself.")
    check_completed(database, study_id)
    create("again", config={"pretrain_epochs": 1, "epochs": 2})
    run_worker(settings, exit_when_idle=True)
    assert values(database, "study") == values(database, "again")


def test_an_artifact_folder_that_is_away_for_a_while_costs_no_trial(
    database: Database, settings: Settings, create: Create
) -> None:
    study_id = create(config={"pause": 0.2, "epochs": 6})
    elsewhere = settings.artifacts.with_name("elsewhere")

    def take_away() -> None:
        wait(lambda: epochs(database))
        settings.artifacts.rename(elsewhere)
        wait(lambda: found(database, study_id).outage)
        elsewhere.rename(settings.artifacts)

    with meanwhile(take_away):
        run_worker(settings, exit_when_idle=True)
    assert any("the artifact folder is away" in reason for reason in pauses(database, study_id))
    check_completed(database, study_id)


def test_data_that_is_away_for_a_while_costs_neither_a_trial_nor_the_baseline(
    database: Database, own_data: Settings, create: Create
) -> None:
    study_id = create()
    assert own_data.data_root is not None
    folder = own_data.data_root / "toy"
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)

    def bring_back() -> None:
        wait(lambda: found(database, study_id).outage == DATA)
        elsewhere.rename(folder)

    with meanwhile(bring_back):
        run_worker(own_data, exit_when_idle=True)
    check_completed(database, study_id)
    assert found(database, study_id).baseline is not None
    with database.session() as session:
        kinds = session.scalars(sa.select(Event.kind).where(Event.kind.in_(("baseline", "outage")))).all()
    assert set(kinds) == {"outage"}


def test_an_outage_that_nobody_else_sees_is_not_tried_for_ever(
    database: Database, settings: Settings, create: Create
) -> None:
    """The trial says that the disk is full, and it never is."""
    study_id = create(space={"trouble": ["disk"]})
    run_worker(settings, exit_when_idle=True)
    left = found(database, study_id)
    assert (left.state, left.outage) == (StudyState.PAUSED, None)
    assert left.reason == (
        "6 times trial 0 met this, and each time a worker could write and read again: No space left on device."
    )
    with database.session() as session:
        slot = session.scalars(sa.select(Slot)).one()
        outages = session.scalars(sa.select(Event).where(Event.kind == "outage")).all()
    assert (slot.state, slot.losses, slot.attempt) == (TrialState.WAITING, 0, 6)
    assert {event.trial for event in outages} == {0}
    assert "Worker " in outages[0].message
    assert len(outages) == 6


@pytest.fixture
def paused(database: Database, settings: Settings, create: Create) -> int:
    """A study that an outage paused which is over by now."""
    join_store(database, settings.artifacts)
    study_id = create()
    with database.transaction() as session:
        row = study_rows.find_study(session, study_id, lock=True)
        study_rows.set_state(session, row, StudyState.PAUSED, "the artifact folder is away", outage=ARTIFACTS)
    return study_id


def look(database: Database, settings: Settings, study_id: int | None = None) -> None:
    watch = OutageWatch(database, settings.artifacts, "w", study_id)
    assert watch.may_claim()
    watch.look()


def test_a_worker_that_finds_everything_there_lets_the_study_go_on(
    database: Database, settings: Settings, paused: int
) -> None:
    with database.session() as session:
        assert slot_rows.count_work(session) == 2  # or no worker would be there to find out
    look(database, settings)
    row = found(database, paused)
    assert (row.state, row.outage, row.reason) == (StudyState.QUEUED, None, "the artifact folder is there again")


def test_what_is_still_away_stays_paused(database: Database, settings: Settings, paused: int) -> None:
    shutil.rmtree(settings.artifacts)
    look(database, settings)
    assert found(database, paused).state is StudyState.PAUSED


def test_a_worker_for_one_study_leaves_the_others(database: Database, settings: Settings, paused: int) -> None:
    look(database, settings, study_id=paused + 1)
    assert found(database, paused).state is StudyState.PAUSED


def test_a_persons_pause_outlasts_the_outage(database: Database, settings: Settings, paused: int) -> None:
    steering.pause(database, paused)
    look(database, settings)
    row = found(database, paused)
    assert (row.state, row.outage, row.reason) == (StudyState.PAUSED, None, "paused by request")
    with database.session() as session:
        assert slot_rows.count_work(session) == 0
    assert snapshot.take(database, "study").rests


def test_a_person_may_resume_before_that(database: Database, paused: int) -> None:
    steering.resume(database, paused)
    assert (found(database, paused).state, found(database, paused).outage) == (StudyState.QUEUED, None)


PLACES = Places(Path("/a"), "toy", (Path("/user/dataset"), Path("/cache")))


def os_error(number: int, file: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), file)


@pytest.mark.parametrize(
    ("error", "store"),
    [
        (os_error(errno.ENOSPC), ARTIFACTS),
        (os_error(errno.EDQUOT, "/a/stages/k/3.pth"), ARTIFACTS),
        (os_error(errno.ENOSPC, "/elsewhere/x"), None),
        (os_error(errno.ENOENT, "/a/stages/k/3.pth"), ARTIFACTS),
        (os_error(errno.ESTALE, "/a"), ARTIFACTS),
        (os_error(errno.EROFS, "/a/studies"), ARTIFACTS),
        (os_error(errno.EACCES, "/a/studies"), ARTIFACTS),
        (os_error(errno.EACCES, "/cache/toy/toy.inter"), DATA),
        (os_error(errno.EIO, "/user/dataset/toy/toy.inter"), DATA),
        (os_error(errno.EIO), ARTIFACTS),
        (os_error(errno.ENOENT), None),  # of a trial's own making
        (os_error(errno.EACCES, "/home/me/model.pth"), None),
        (os_error(errno.ENOENT, "/ab/c"), None),
        (os_error(errno.EINVAL, "/a/stages"), None),
        (DatasetNotFound("There is no data set toy."), DATA),
        (DataError("toy.inter:3: has two columns."), None),
        (RuntimeError("No space left on device"), None),
    ],
    ids=repr,
)
def test_an_outage_is_told_from_what_a_trial_did(error: Exception, store: str | None) -> None:
    found = PLACES.outage(error)
    assert (found.store if found else None) == store
    wrapped = CheckpointUnreadable("can't be read")
    wrapped.__cause__ = error
    assert PLACES.outage(wrapped) == found


def test_memory_that_torch_can_not_get_on_a_cpu_is_a_failure_of_memory() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**56, dtype=torch.uint8)
    assert describe(raised.value).kind is FailureKind.OUT_OF_MEMORY


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        os_error(errno.ENOMEM),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=repr,
)
def test_every_way_to_say_that_memory_is_short(error: Exception) -> None:
    assert describe(error).kind is FailureKind.OUT_OF_MEMORY


def test_other_runtime_errors_are_what_the_trial_did() -> None:
    assert describe(RuntimeError("mat1 and mat2 shapes cannot be multiplied")).kind is FailureKind.RAISED
