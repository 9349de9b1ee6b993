"""What the other tests of this folder rest on: a study on ``t`` runs, with the values that it should have."""

from __future__ import annotations


def test_a_study_runs_and_its_values_can_be_asked_for(launch, run_all, http):
    answer = launch("finetune.learning_rate choice [0.001]")
    assert answer.status_code == 201
    assert answer.json()["warnings"] == []
    run_all()
    trials = http.get("/api/v1/studies/study/trials").json()["items"]
    assert [trial["state"] for trial in trials] == ["completed"]
