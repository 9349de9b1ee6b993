"""Inputs 12, 13 and 14: configurations that RecBole reads are read, and without noise."""

from __future__ import annotations

import pytest

from model.config import load_config

# Every key of RecBole's own overall.yaml and sample.yaml that is no parameter here, with its value there.
OWN = """
worker: 0
reproducibility: True
save_dataset: False
dataset_save_path: ~
save_dataloaders: False
dataloaders_save_path: ~
log_wandb: False
wandb_project: recbole
require_pow: False
enable_scaler: False
transform: ~
RATING_FIELD: rating
LABEL_FIELD: label
threshold: ~
NEG_PREFIX: neg_
numerical_features: []
ITEM_LIST_LENGTH_FIELD: item_length
POSITION_FIELD: position_id
HEAD_ENTITY_ID_FIELD: head_id
TAIL_ENTITY_ID_FIELD: tail_id
RELATION_ID_FIELD: relation_id
ENTITY_ID_FIELD: entity_id
kg_reverse_r: False
entity_kg_num_interval: "[0,inf)"
relation_kg_num_interval: "[0,inf)"
additional_feat_suffix: ~
alias_of_entity_id: ~
alias_of_relation_id: ~
preload_weight: ~
discretization: ~
"""


def test_recboles_own_keys_make_no_noise(launch, tmp_path):
    """Input 14: as a file of the command, and in a request."""
    (tmp_path / "own.yaml").write_text(OWN)
    config = load_config("S3Rec", "t", config_files=[tmp_path / "own.yaml"])
    assert (config.unknown, config.notes) == ({}, ())
    answer = launch("finetune.learning_rate choice [0.001]", config=config.given)
    assert answer.status_code == 201
    assert answer.json()["warnings"] == []


def test_a_former_name_is_noted_in_the_answer(launch):
    answer = launch("finetune.learning_rate choice [0.001]", config={"eval_setting": "TO_LS,full"})
    assert answer.status_code == 201
    assert "eval_setting is a former name of RecBole's and read as eval_args:" in answer.json()["warnings"][0]


@pytest.mark.parametrize("learner", ["Adam", "adamW", "SGD", "RMSprop", "adagrad"])
@pytest.mark.parametrize("key", ["learner", "finetune.learner"])
def test_learners_are_compared_in_lower_case(launch, learner, key):
    """Input 12."""
    assert launch("finetune.learning_rate choice [0.001]", config={key: learner}).status_code == 201


def test_learners_may_be_searched_in_any_case(launch):
    assert launch("learner choice ['Adam', 'adamw']").status_code == 201


@pytest.mark.parametrize("nothing", ["None", "none", "null", "NULL"])
def test_the_text_none_is_nothing(launch, nothing):
    """Input 13, and the other keys that may be nothing."""
    config = {
        "eval_args": {"split": {"RS": [4, 1, 1]}, "group_by": "None", "order": "TO", "mode": "full"},
        **dict.fromkeys(
            ("clip_grad_norm", "val_interval", "encoding", "rm_dup_inter", "user_inter_num_interval"), nothing
        ),
        **dict.fromkeys(("normalize_all", "valid_users", "train_neg_sample_args", "benchmark_filename"), nothing),
    }
    answer = launch("finetune.learning_rate choice [0.001]", config=config)
    assert answer.status_code == 201, answer.json()
