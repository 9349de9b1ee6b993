"""Keys of earlier versions of RecBole are read as today's with a note, or refused with today's form."""

from __future__ import annotations

from typing import Any

import pytest

from model.config import load_config
from model.errors import ConfigError
from model.protocol import given_protocol

LS: dict[str, Any] = {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user"}


@pytest.mark.parametrize(
    ("given", "key", "value", "note"),
    [
        ({"training_neg_sample_num": 3}, "train_neg_sample_args", ("uniform", 3), "{sample_num: 3}"),
        (
            {"neg_sampling": {"popularity": 2}},
            "train_neg_sample_args",
            ("popularity", 2),
            "{distribution: popularity, ",
        ),
        ({"neg_sampling": None}, "train_neg_sample_args", ("uniform", 1), "train_neg_sample_args: ~."),
        (
            {"eval_setting": "TO_LS,full"},
            "eval_args",
            LS | {"mode": {"valid": "full", "test": "full"}},
            "{split: {LS: valid_and_test}, order: TO, group_by: user, mode: full}",
        ),
        (
            {"eval_setting": "TO_RS, uni100", "split_ratio": [7, 1, 2], "group_by_user": False},
            "eval_args",
            {
                "split": {"RS": [7, 1, 2]},
                "order": "TO",
                "group_by": "none",
                "mode": {"valid": "uni100", "test": "uni100"},
            },
            "{split: {RS: [7, 1, 2]}, order: TO, group_by: none, mode: uni100}",
        ),
    ],
)
def test_former_names_are_read_as_todays(given: dict[str, Any], key: str, value: Any, note: str) -> None:
    config = load_config("S3Rec", "d", config_dict={"loss_type": "BPR", **given})
    found = config[key]
    if key == "train_neg_sample_args":
        found = (found["distribution"], found["sample_num"])
    assert found == value
    assert note in config.notes[0]
    assert config.unknown == {}


def test_todays_name_wins() -> None:
    settings = {"training_neg_sample_num": 3, "train_neg_sample_args": {"sample_num": 2}, "loss_type": "BPR"}
    config = load_config("S3Rec", "d", config_dict=settings)
    assert config["train_neg_sample_args"]["sample_num"] == 2
    assert "no effect beside train_neg_sample_args" in config.notes[0]


@pytest.mark.parametrize(
    ("given", "form"),
    [
        ({"training_neg_sample_num": -1}, r"train_neg_sample_args: \{sample_num: 1\}"),
        ({"neg_sampling": {"dynamic": 1}}, "train_neg_sample_args: {distribution: uniform"),
        ({"eval_setting": "full"}, r"eval_args: \{split"),
        ({"eval_setting": "TO_LS,full", "leave_one_num": 1}, r"with leave_one_num = 1: .*eval_args: \{split"),
        ({"eval_setting": "RO_RS,full"}, "order = 'RO'"),
        ({"min_user_inter_num": 5}, r"user_inter_num_interval: '\[5,inf\)'"),
        ({"max_item_inter_num": 9}, r"item_inter_num_interval: '\[0,9\]'"),
        ({"lowest_val": {"rating": 3}}, r"val_interval: \{rating: '\[3,inf\)'\}"),
        ({"not_equal_val": {"rating": 3}}, r"val_interval: \{rating: '\(-inf,3\);\(3,inf\)'\}"),
    ],
)
def test_what_means_something_else_is_refused_with_todays_form(given: dict[str, Any], form: str) -> None:
    with pytest.raises(ConfigError, match=form):
        load_config("S3Rec", "d", config_dict=given)


def test_former_defaults_say_nothing() -> None:
    settings = dict.fromkeys(("eval_setting", "min_user_inter_num", "max_item_inter_num", "lowest_val", "split_ratio"))
    config = load_config("S3Rec", "d", config_dict=settings)
    assert (config.notes, config.unknown) == ((), {})


def test_the_protocol_of_a_former_setting_is_the_one_that_is_used() -> None:
    assert given_protocol({"eval_setting": "TO_LS,uni100"}) == {"valid": "uni100", "test": "uni100"}
