"""A database server that is away for a while."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tuner.engine.fleet.local import environment
from tuner.engine.studies import creation, steering
from tuner.settings import Settings
from tuner.specification import StudySpecification
from tuner.store import Database, StudyState
from tuner.store.tables import Epoch, Slot


@pytest.mark.slow
@pytest.mark.postgres
def test_workers_wait_for_the_database_and_go_on(
    tmp_path: Path,
    data_root: Path,
    specification: Callable[..., StudySpecification],
    monkeypatch: pytest.MonkeyPatch,
    own_postgres_server: Any,
) -> None:
    server = own_postgres_server
    monkeypatch.setenv("TUNER_DATA_ROOT", str(data_root))
    settings = Settings(
        home=tmp_path, database_url=server.get_uri(driver="psycopg"), data_root=data_root, lease_seconds=3.0
    )
    database = Database(settings.database)
    database.upgrade()
    slow = {"pause": 0.3, "epochs": 10}
    study_id = creation.create(database, settings, specification(space={"width": [4, 8]}, config=slow)).id
    command = [sys.executable, "-m", "tuner.engine.work.entry", "--idle-exit", "0"]
    worker = subprocess.Popen(command, env=environment(settings))
    try:
        _wait_for_epochs(database, 2)
        os.kill(server.get_pid(), signal.SIGINT)  # PostgreSQL's fast shutdown
        time.sleep(8)  # more than two leases
        server.ensure_postgres_running()
        assert worker.wait(240) == 0
        assert steering.find(database, study_id).state is StudyState.COMPLETED
        with database.session() as session:
            assert set(session.scalars(sa.select(Slot.state))) == {"completed"}
    finally:
        worker.kill()
        worker.wait()
        database.close()


def _wait_for_epochs(database: Database, number: int) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        with database.session() as session:
            if (session.scalar(sa.select(sa.func.count()).select_from(Epoch)) or 0) >= number:
                return
        time.sleep(0.05)
    raise AssertionError("the worker did not begin")
