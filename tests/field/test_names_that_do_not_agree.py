"""Inputs 21 and 23: names that are no name say what is there, and what was meant."""

from __future__ import annotations

import pytest

PARAMS = "finetune.learning_rate choice [0.001]"


@pytest.mark.parametrize(
    ("dataset", "file"), [("Toys", "toys.inter"), ("Toys", "toys.train.inter"), ("a-b", "a_b.inter")]
)
def test_a_folder_and_its_files_have_one_name(launch, settings, dataset, file):
    """Input 21."""
    folder = settings.data_root / dataset
    folder.mkdir()
    (folder / file).write_text("")
    answer = launch(PARAMS, dataset=dataset)
    assert answer.status_code == 422
    said = answer.json()["detail"]
    assert f"{folder} holds {file}, and folder and files must have one name" in said
    assert f"or folder and dataset to {file.partition('.')[0]}." in said
    assert "Did you mean" not in said


def test_a_folder_without_files_is_no_hint_to_itself(launch, settings):
    (settings.data_root / "Toys").mkdir()
    said = launch(PARAMS, dataset="Toys").json()["detail"]
    assert "there is no" in said
    assert "Did you mean Toys" not in said


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"valid_metric": "HR@10"},
            "valid_metric = 'HR@10': there is no such metric. Did you mean Hit@10? There are Recall,",
        ),
        ({"valid_metric": "Hit_Rate@5"}, "Did you mean Hit@5?"),
        ({"valid_metric": "NCDG@20"}, "Did you mean NDCG@20?"),
        ({"valid_metric": "recal"}, "Did you mean Recall@10?"),
        ({"valid_metric": "xyz@10"}, "there is no such metric. There are Recall,"),
        ({"valid_metric": "NDCG"}, "write a metric and a length, e.g. NDCG@10."),
        ({"valid_metric": "NDCG@ten"}, "write a metric and a length"),
        ({"valid_metric": "GAUC@10"}, "it has no length; write GAUC."),
        ({"valid_metric": "AUC"}, "it needs labels"),
        ({"metrics": ["HR"]}, "metrics = 'HR': there is no such metric. Did you mean Hit? There are Recall,"),
    ],
)
def test_a_metric_that_is_none_is_answered_with_those_there_are(launch, config, words):
    """Input 23."""
    answer = launch(PARAMS, config=config)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
