"""Epochs from before the mean loss was kept have none, and are never mixed with those that have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from tuner.store import Database, schema
from tuner.store.points import CurvePoint
from tuner.store.tables import Epoch, Slot, StageEpoch
from tuner.store.trial_record import curves

KEY = "k" * 64


@pytest.fixture
def old(database_url: str) -> Iterator[Database]:
    """A trial with an epoch of each kind, as the version before wrote them."""
    database = Database(database_url)
    with database.engine.execution_options(rectuner_write=True).begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        everything = sa.MetaData()
        everything.reflect(connection)
        study = {"id": 1, "name": "s", "optuna_name": "s", "state": "running", "max_trials": 1}
        stage = {"key": KEY, "model": "S3Rec", "stage": "pretrain", "dataset": "d"}
        slot = {"id": 1, "study_id": 1, "state": "running", "origin": "grid", "stage_key": KEY, "stage_epochs": 1}
        for name, row in {
            "rectuner_studies": study,
            "rectuner_stages": stage,
            "rectuner_slots": slot,
            "rectuner_stage_epochs": {"stage_key": KEY, "epoch": 1, "loss": 11.19e6, "seconds": 1.0},
            "rectuner_epochs": {"slot_id": 1, "stage": "finetune", "epoch": 1, "loss": 640.0, "seconds": 1.0},
        }.items():
            table = everything.tables[name]
            connection.execute(table.insert().values({c.name: _some(c) for c in table.columns} | row))
    yield database
    database.close()


def _some(column: sa.Column[Any]) -> Any:
    """Any value that the column takes: PostgreSQL, unlike SQLite, minds its type."""
    if column.nullable:
        return None
    if isinstance(column.type, sa.DateTime):
        return sa.func.now()
    if isinstance(column.type, sa.JSON):
        return {}
    return "0" if isinstance(column.type, sa.String) else 0


def test_they_keep_their_sum_and_have_no_mean(old: Database) -> None:
    old.upgrade()
    with old.transaction() as session:
        session.add(Epoch(slot_id=1, stage="finetune", epoch=2, loss=600.0, mean_loss=6.0, seconds=1.0))
        found = curves(session, session.get_one(Slot, 1))
        assert session.scalars(sa.select(StageEpoch.mean_loss)).all() == [None]
    assert [(point.stage, point.loss, point.mean_loss) for point in found] == [
        ("pretrain", 11.19e6, None),
        ("finetune", 640.0, None),
        ("finetune", 600.0, 6.0),
    ]
    assert isinstance(found[0], CurvePoint)
