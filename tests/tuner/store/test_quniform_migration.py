"""Databases from before quniform's half steps were mended: their studies search what they searched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from optuna.distributions import FloatDistribution

from tuner.space import SearchSpace
from tuner.store import Database, schema

OTHERS = [
    {"name": "loss_type", "type": "choice", "values": ["CE", "BPR"]},
    {"name": "learning_rate", "type": "loguniform", "low": -8.0, "high": 0.0},
]


def upgraded(database: Database, parameters: list[dict[str, Any]]) -> SearchSpace:
    """The space of a study that version 0002 wrote, as it is after the upgrade."""
    with database.engine.execution_options(rectuner_write=True).begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        studies = sa.Table("rectuner_studies", sa.MetaData(), autoload_with=connection)
        row = {column.name: 0 for column in studies.columns if not column.nullable}
        row |= {column.name: None for column in studies.columns if isinstance(column.type, sa.DateTime)}
        row |= {"id": 1, "name": "s", "optuna_name": "s", "metric": "", "direction": "", "state": "queued"}
        now = sa.func.now()
        row |= {"created_at": now, "changed_at": now}
        row |= {"sampler": {}, "pruner": {}, "specification": {"seed": 1, "space": {"parameters": parameters}}}
        typed = sa.table("rectuner_studies", *(sa.column(c.name, _type(c)) for c in studies.columns))
        connection.execute(typed.insert().values(row))
    database.upgrade()
    with database.session() as session:
        specification = session.execute(sa.text("SELECT specification FROM rectuner_studies")).scalar_one()
    if isinstance(specification, str):
        specification = json.loads(specification)
    assert specification["seed"] == 1
    return SearchSpace.from_json(specification["space"])


def _type(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    return sa.JSON() if column.name in ("sampler", "pruner", "specification") else column.type


@pytest.fixture
def old(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.mark.parametrize(
    ("low", "high", "q", "then"),
    [
        (0.5, 3.5, 1.0, FloatDistribution(0.0, 4.0, step=1.0)),
        (0.05, 0.35, 0.1, FloatDistribution(0.0, 0.3, step=0.1)),
        (1.0, 4.0, 1.0, FloatDistribution(1.0, 4.0, step=1.0)),
        (0.4, 1.6, 1.0, FloatDistribution(0.0, 2.0, step=1.0)),
    ],
)
def test_a_study_keeps_its_distribution(old: Database, low: float, high: float, q: float, then: object) -> None:
    declared = {"name": "n", "type": "quniform", "low": low, "high": high, "q": q}
    found = upgraded(old, [*OTHERS, declared])
    assert found["n"].distribution == then
    assert [parameter.to_json() for parameter in found.parameters[:2]] == OTHERS
