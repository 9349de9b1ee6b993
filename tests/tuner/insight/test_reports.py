"""What reports say about studies and trials."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from tuner import insight
from tuner.errors import StudyNotFound, TrialNotFound
from tuner.store import Database
from tuner.store.states import Origin
from tuner.store.tables import Slot

if TYPE_CHECKING:
    from tests.tuner.insight.conftest import Filled


def test_a_study_at_a_glance(filled: Filled) -> None:
    study = insight.get_study(filled.database, "study")
    assert (study.state, study.model, study.dataset, study.sampler) == ("running", "S3Rec", "walks", "tpe")
    assert study.counts == {"completed": 6, "pruned": 1, "failed": 1, "running": 1, "waiting": 1}
    assert study.trials_done == 8
    assert study.exceptions == "1 pruned, 1 failed"
    assert (study.best_value, study.best_trial) == (0.05, 1)  # the earlier one of two equals
    assert study.best_valid_result == {"ndcg@10": 0.05}
    assert study.best_test_result == {"ndcg@10": pytest.approx(0.045)}
    assert study.baseline == {"valid": {"ndcg@10": 0.02}, "test": {"ndcg@10": 0.018}}
    assert (study.epochs.asked, study.epochs.run, study.epochs.reused) == (18, 2, 16)
    assert study.workers_alive == 1
    assert study.eta_seconds is not None
    assert 0 < study.eta_seconds < 60


def test_a_confirmation_is_never_the_best_trial(filled: Filled) -> None:
    with filled.database.transaction() as session:
        session.execute(sa.update(Slot).where(Slot.optuna_number == 1).values(origin=Origin.CONFIRM))
    assert insight.get_study(filled.database, "study").best_trial == 3


def test_reports_become_json(filled: Filled) -> None:
    document = asdict(insight.get_trial(filled.database, "study", 0))
    assert json.loads(json.dumps(document, default=str))["valid_result"] == {"ndcg@10": 0.03}
    json.dumps(asdict(insight.get_study(filled.database, "study")), default=str)


def test_studies_are_paged_and_filtered(filled: Filled) -> None:
    assert insight.list_studies(filled.database).total == 1
    assert insight.list_studies(filled.database, state="paused").items == ()
    assert insight.list_studies(filled.database, offset=1).items == ()


def test_trials_are_paged_ordered_and_filtered(filled: Filled) -> None:
    everything = insight.list_trials(filled.database, "study")
    assert [trial.number for trial in everything.items] == [*range(9), None]
    assert everything.total == 10
    best = insight.list_trials(filled.database, "study", order="-value", limit=3)
    assert [trial.number for trial in best.items] == [1, 3, 5]
    failed = insight.list_trials(filled.database, "study", state="failed")
    assert [trial.number for trial in failed.items] == [7]
    assert failed.items[0].error is not None
    assert failed.items[0].error.message == "The loss is nan."
    with pytest.raises(ValueError, match="ordered"):
        insight.list_trials(filled.database, "study", order="color")


def test_a_running_trial_says_where_it_is(filled: Filled) -> None:
    (running,) = insight.list_trials(filled.database, "study", state="running").items
    assert running.progress is not None
    assert (running.progress.stage, running.progress.epoch, running.progress.epochs) == ("finetune", 4, 50)
    assert running.worker == "here:7"
    assert running.seconds == pytest.approx(20, abs=10)


def test_a_trial_has_the_curves_of_both_stages(filled: Filled) -> None:
    trial = insight.get_trial(filled.database, "study", 1)
    assert [(point.stage, point.epoch) for point in trial.curves] == [
        ("pretrain", 1),
        ("pretrain", 2),
        ("finetune", 1),
        ("finetune", 2),
        ("finetune", 3),
    ]


def test_parameters_are_what_the_configuration_gets(filled: Filled) -> None:
    for trial in insight.list_trials(filled.database, "study", state="completed").items:
        assert trial.params is not None
        assert list(trial.params) == ["n_layers", "learning_rate", "loss_type"]
        assert type(trial.params["n_layers"]) is int
        assert trial.params["loss_type"] in ("CE", "BPR")


def test_what_is_not_there(filled: Filled, database: Database) -> None:
    with pytest.raises(StudyNotFound):
        insight.get_study(database, "nonesuch")
    with pytest.raises(TrialNotFound):
        insight.get_trial(database, "study", 77)
