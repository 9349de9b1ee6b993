from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from model.config import Config
from model.data import SequentialDataset, load_dataset
from model.errors import DataError
from tuner.engine.plan import make_plan
from tuner.engine.work.baseline import compute_baseline
from tuner.specification import StudySpecification
from tuner.store import Database
from tuner.store.tables import Event, Study


def compute(database: Database, study_id: int, load: Callable[[Config], SequentialDataset]) -> Study:
    with database.session() as session:
        study = session.get_one(Study, study_id)
    compute_baseline(database, study, make_plan(StudySpecification.model_validate(study.specification)), load)
    with database.session() as session:
        return session.get_one(Study, study_id)


def test_the_second_trial_finds_the_baseline(database: Database, create: Callable[..., int]) -> None:
    loaded = 0

    def load(config: Config) -> SequentialDataset:
        nonlocal loaded
        loaded += 1
        return load_dataset(config)

    study_id = create()
    first = compute(database, study_id, load).baseline
    assert first is not None
    assert compute(database, study_id, load).baseline == first
    assert loaded == 1


def test_while_somebody_computes_it_nobody_else_does(database: Database, create: Callable[..., int]) -> None:
    study_id = create()

    def load(config: Config) -> SequentialDataset:
        assert compute(database, study_id, lambda _: pytest.fail("computed twice at once")).baseline is None
        return load_dataset(config)

    assert compute(database, study_id, load).baseline is not None


def test_a_baseline_that_fails_is_an_event(database: Database, create: Callable[..., int]) -> None:
    def load(_: Config) -> SequentialDataset:
        raise DataError("nothing is left")

    study_id = create()
    assert compute(database, study_id, load).baseline is None
    with database.session() as session:
        events = session.scalars(sa.select(Event.message).where(Event.kind == "baseline")).all()
    assert events == ["The baseline could not be computed: nothing is left"]
