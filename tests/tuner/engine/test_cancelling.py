"""Cancelling a study: its trials stop wherever they are, and none of them counts as done."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from model import baseline, run
from model.data import dataset as data
from model.evaluation import evaluate
from tuner import insight
from tuner.engine.studies import steering
from tuner.engine.work.entry import run_worker
from tuner.settings import Settings
from tuner.store import Database, StudyState, TrialState
from tuner.store.tables import Slot, Study

Create = Callable[..., int]


def cancel_and_wait(database: Database, check: Callable[[], None]) -> None:
    """Cancel, and be busy until ``check`` raises: it has to notice by itself, nobody renews a lease meanwhile."""
    steering.cancel(database, "study")
    while True:
        check()
        time.sleep(0.01)


@pytest.mark.parametrize("where", ["baseline", "valid", "test", "data"])
def test_a_trial_stops_between_two_batches_whatever_it_does(
    database: Database, settings: Settings, create: Create, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Leases are so long that only looking notices the cancellation."""
    batches: list[str] = []

    def watched(*arguments: Any, check: Callable[[], None]) -> Any:
        def checked() -> None:
            batches.append(where)
            if len(batches) == 3:
                cancel_and_wait(database, check)

        return evaluate(*arguments, check=checked)

    def watched_epoch(model: Any, data: Any, phase: Any, config: Any, epoch: int, check: Any) -> Any:
        if phase != where:
            return evaluate(model, data, phase, config, epoch, check)
        return watched(model, data, phase, config, epoch, check=check)

    def watched_data(config: Any, check: Callable[[], None]) -> Any:
        cancel_and_wait(database, check)

    if where == "baseline":
        monkeypatch.setattr(baseline, "evaluate", watched)
    elif where == "data":
        monkeypatch.setattr("tuner.engine.datasets.load_dataset", watched_data)
    else:
        monkeypatch.setattr(run, "evaluate", watched_epoch)
    study_id = create(space={"width": [4, 8]}, config={"eval_batch_size": 5, "epochs": 1})
    run_worker(settings.model_copy(update={"lease_seconds": 3000.0, "prepared_gb": 0.0}), exit_when_idle=True)
    assert len(batches) == (0 if where == "data" else 3)
    with database.session() as session:
        assert set(session.scalars(sa.select(Slot.state))) == {TrialState.CANCELLED}
        assert session.get_one(Study, study_id).state is StudyState.CANCELLED
        assert session.get_one(Study, study_id).baseline_lease is None or where != "baseline"
    summary = insight.get_study(database, study_id)
    assert (summary.trials_done, summary.counts, summary.exceptions) == (0, {"cancelled": 2}, "2 cancelled")


def test_data_is_read_in_steps_between_which_it_can_stop(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    class Interrupted(Exception):
        pass

    def interrupt() -> None:
        raise Interrupted

    from model.config import load_config

    monkeypatch.setattr(data, "split_samples", lambda *_: pytest.fail("it went on"))
    config = load_config("Tiny", "toy", config_dict={"train_batch_size": 64})
    with pytest.raises(Interrupted):
        data.load_dataset(config, interrupt)
