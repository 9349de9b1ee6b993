"""Input 25: does pretraining help at all? A study compares with no pretraining by the value 0."""

from __future__ import annotations

import pytest

from model.errors import ConfigError
from model.quick_start import run_recbole

# The fixture's settings, for the Python API.
ALONE = {
    "pretrain_epochs": 0,
    "epochs": 1,
    "train_batch_size": 64,
    "hidden_size": 16,
    "inner_size": 16,
    "n_layers": 1,
    "n_heads": 1,
    "show_progress": False,
    "state": "ERROR",
}


@pytest.fixture
def finetuned(settings, monkeypatch):
    """What finetuning from fresh weights gives, as ``run_recbole`` does it."""
    monkeypatch.setattr("sys.argv", ["x"])
    return run_recbole("S3Rec", "t", config_dict={**ALONE, "train_stage": "finetune"}, saved=False)


def test_a_study_has_trials_without_pretraining(launch, run_all, http, finetuned):
    assert launch("pretrain_epochs choice [0, 1, 2]").status_code == 201
    run_all()
    study = http.get("/api/v1/studies/study").json()
    assert (study["state"], study["epochs"]) == ("completed", {"asked": 3, "run": 2, "reused": 1})
    trials = http.get("/api/v1/studies/study/trials").json()["items"]
    by_epochs = {trial["params"]["pretrain_epochs"]: trial for trial in trials}
    assert [by_epochs[epochs]["state"] for epochs in (0, 1, 2)] == ["completed"] * 3
    assert by_epochs[0]["value"] == finetuned["best_valid_score"]
    assert by_epochs[0]["test_result"] == finetuned["test_result"]
    detail = http.get(f"/api/v1/studies/study/trials/{by_epochs[0]['number']}").json()
    assert {point["stage"] for point in detail["curves"]} == {"finetune"}
    for path in ("stages", "trials", "importances"):
        assert http.get(f"/api/v1/studies/study/{path}").is_success


def test_pretraining_for_no_epoch_is_refused_where_it_is_asked_for_alone(settings, monkeypatch):
    monkeypatch.setattr("sys.argv", ["x"])
    with pytest.raises(ConfigError, match="pretrain_epochs = 0: there is nothing to train in pretrain"):
        run_recbole("S3Rec", "t", config_dict={**ALONE, "train_stage": "pretrain"})
