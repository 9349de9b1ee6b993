"""What models say to a search as a whole."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from model.config import load_config
from model.errors import ConfigError
from model.parameters import Parameter
from model.registry import get_model, parameters_of
from tuner import space
from tuner.errors import SpaceError
from tuner.space.review import review_space


def remarks(text: str, model: str = "SURGE", **fixed: object) -> tuple[str, ...]:
    config = load_config(model, "ml-100k", config_dict=fixed)
    return review_space(space.parse(text), get_model(model), config)


def test_a_searched_parameter_that_never_has_an_effect_is_named() -> None:
    assert remarks("same_mapping_weight choice [1e-7, 1e-5]\nlearning_rate loguniform -8,-4\n") == (
        "same_mapping_weight has no effect: only surge_variant 'paper' has soft clusters.",
    )


def test_a_parameter_of_one_searched_variant_has_no_effect_in_some_trials() -> None:
    text = "surge_variant choice ['released', 'paper']\nsame_mapping_weight choice [1e-7, 1e-5]\n"
    assert remarks(text) == (
        "same_mapping_weight has no effect in some trials: only surge_variant 'paper' has soft clusters.",
    )
    assert remarks("same_mapping_weight choice [1e-7, 1e-5]\n", surge_variant="paper") == ()


def test_a_fixed_parameter_without_effect_is_named_and_a_default_is_not() -> None:
    (remark,) = remarks("learning_rate choice [0.1]\n", metric_grad="none", metric_heads=3)
    assert remark.startswith("metric_heads has no effect: ")
    assert remarks("learning_rate choice [0.1]\n", metric_grad="none") == ()


def test_a_condition_behind_a_condition_is_found() -> None:
    text = (
        "surge_variant choice ['released', 'paper']\nrelative_position_weight choice [0.0, 0.1]\n"
        "position_reg choice ['mean', 'literal']\n"
    )
    assert [remark.split(" has no effect in some trials")[0] for remark in remarks(text)] == [
        "relative_position_weight",
        "position_reg",
    ]


def test_values_that_do_not_fit_are_refused_with_the_line() -> None:
    text = "learning_rate choice [0.1]\npool_length choice [10, 60]\n"
    with pytest.raises(SpaceError, match=r"hyper\.test:2:1: pool_length = 60: .* MAX_ITEM_LIST_LENGTH, which is 50"):
        remarks(text)
    assert remarks(text, MAX_ITEM_LIST_LENGTH=60) == ()
    with pytest.raises(SpaceError, match="pool_length = 40"):
        remarks("MAX_ITEM_LIST_LENGTH choice [20, 50]\npool_length quniform 10,40,10\n")


def test_fixed_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="pool_length = 60"):
        remarks("learning_rate choice [0.1]\n", pool_length=60)


def test_s3rec_checks_its_heads_and_what_the_loss_ignores() -> None:
    with pytest.raises(SpaceError, match="n_heads = 3 does not divide it"):
        remarks("n_heads choice [2, 3]\n", "S3Rec")
    (remark,) = remarks("loss_type choice ['CE', 'BPR']\nrank_special_tokens choice [True, False]\n", "S3Rec")
    assert remark == "rank_special_tokens has no effect in some trials: only loss_type 'CE' ranks all items."


def test_a_stage_is_reviewed_with_its_own_values() -> None:
    with pytest.raises(SpaceError, match="n_heads = 3"):
        remarks("pretrain.n_heads choice [2, 3]\n", "S3Rec")


def test_a_large_space_takes_no_time() -> None:
    text = "\n".join(f"{name} quniform 1,1000,1" for name in ("pool_length", "metric_heads", "attention_heads"))
    begun = time.perf_counter()
    assert remarks(text, MAX_ITEM_LIST_LENGTH=1000) == ()
    assert time.perf_counter() - begun < 2


def test_any_model_can_have_a_review() -> None:
    def review(values: Mapping[str, Any]) -> dict[str, str]:
        return {"weight_decay": "learner is sgd"} if values["learner"] == "sgd" else {}

    definition = replace(get_model("SURGE"), review=review)
    config = load_config("SURGE", "ml-100k")
    found = space.parse("learner choice ['sgd', 'adam']\nweight_decay choice [0.1, 0.2]\n")
    assert review_space(found, definition, config) == ("weight_decay has no effect in some trials: learner is sgd.",)


MEASURING = [name for name, parameter in parameters_of("SURGE").items() if parameter.measures]


@pytest.mark.parametrize("name", MEASURING)
def test_a_search_over_what_is_measured_is_refused(name: str) -> None:
    with pytest.raises(SpaceError, match=r"hyper\.test:1:1: .*can't be compared.*set it in the configuration"):
        space.parse(f"{name} choice ['{{}}']\n").check(parameters_of("SURGE"))


def test_filters_and_the_protocol_are_what_is_measured() -> None:
    assert {"item_inter_num_interval", "val_interval", "rm_dup_inter", "load_col", "benchmark_filename"} < {*MEASURING}
    assert {"eval_args", "valid_users", "valid_metric", "metric_decimal_place", "tail_ratio", "topk"} < {*MEASURING}
    assert not {"MAX_ITEM_LIST_LENGTH", "learning_rate", "eval_batch_size"} & {*MEASURING}


def test_a_models_own_key_may_decide_what_is_measured() -> None:
    own = Parameter("ranked_items", "int", 10, "How many items are ranked.", measures=True)
    with pytest.raises(SpaceError, match="ranked_items decides what is measured"):
        space.parse("ranked_items choice [10, 20]\n").check({**parameters_of("SURGE"), "ranked_items": own})


def test_an_option_may_spell_a_mapping() -> None:
    text = "train_neg_sample_args choice [\"{'distribution': 'popularity', 'sample_num': 2}\"]\n"
    assert remarks(text) == ()
    trial = load_config("SURGE", "ml-100k").for_stage("train", {"train_neg_sample_args": "{'sample_num': 2}"})
    assert trial["train_neg_sample_args"]["sample_num"] == 2


@pytest.mark.parametrize(
    ("text", "model", "fixed", "remark"),
    [
        ("save_step choice [5, 10]", "S3Rec", {}, "save_step has no effect in a study: a study keeps"),
        ("show_progress choice [True, False]", "SURGE", {}, "show_progress has no effect in a study"),
        ("eval_batch_size choice [1, 4]", "S3Rec", {}, "eval_batch_size has no effect in a study"),
        ("use_gpu choice [True, False]", "S3Rec", {}, "use_gpu has no effect in a study"),
        ("train_stage choice ['pretrain', 'finetune']", "S3Rec", {}, "train_stage has no effect in a study"),
        ("score_memory choice [1000000]", "SURGE", {}, "score_memory has no effect in a study"),
        # Narrower names that are searched leave no stage to the wider one, be it fixed or searched.
        (
            "pretrain.learning_rate choice [0.1]\nfinetune.learning_rate choice [0.1]",
            "S3Rec",
            {"learning_rate": 0.01},
            "learning_rate has no effect: finetune.learning_rate and pretrain.learning_rate are read in its place.",
        ),
        (
            "pretrain.n_layers choice [1]\nfinetune.n_layers choice [1]\nn_layers choice [1, 2]",
            "S3Rec",
            {},
            "n_layers has no effect: finetune.n_layers and pretrain.n_layers are read in its place.",
        ),
        ("finetune.loss_type choice ['CE']", "S3Rec", {"loss_type": "BPR"}, "loss_type has no effect: finetune."),
        ("pretrain.pretrain_epochs choice [5]\npretrain_epochs choice [1, 2]", "S3Rec", {}, "pretrain_epochs has no"),
        ("learning_rate choice [0.1]", "S3Rec", {"finetune.mask_ratio": 0.5}, "finetune.mask_ratio has no effect: "),
    ],
)
def test_a_name_that_no_trial_reads_is_pointed_out(text: str, model: str, fixed: dict[str, Any], remark: str) -> None:
    (found,) = remarks(text, model, **fixed)
    assert found.startswith(remark)


def test_what_is_searched_hides_what_is_fixed_for_a_stage() -> None:
    fixed = {"pretrain.learning_rate": 0.01, "finetune.learning_rate": 0.02}
    assert remarks("learning_rate choice [0.1, 0.2]", "S3Rec", **fixed) == (
        "pretrain.learning_rate has no effect: learning_rate is read in its place.",
        "finetune.learning_rate has no effect: learning_rate is read in its place.",
    )
    # As trials do it.
    config = load_config("S3Rec", "ml-100k", config_dict=fixed)
    assert {config.for_stage(stage, {"learning_rate": 0.1})["learning_rate"] for stage in ("pretrain", "finetune")} == {
        0.1
    }


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("finetune.learning_rate choice [0.1]", {"learning_rate": 0.01}),
        ("learning_rate choice [0.1]\nfinetune.learning_rate choice [0.2]", {}),
        ("seed choice [1, 2]\nepochs choice [1, 2]\nstopping_step choice [1]\nMAX_ITEM_LIST_LENGTH choice [5]", {}),
        ("learning_rate choice [0.1]", {"save_step": 5, "show_progress": False, "eval_batch_size": 7}),
        ("pretrain_epochs choice [1, 2]", {"epochs": 3, "metrics": ["NDCG"], "valid_metric": "NDCG@10"}),
    ],
)
def test_names_that_a_stage_reads_and_ordinary_settings_are_no_matter(text: str, fixed: dict[str, Any]) -> None:
    assert remarks(text, "S3Rec", **fixed) == ()


def test_what_only_pretraining_reads_has_no_effect_beside_a_given_model() -> None:
    text = "mask_ratio choice [0.1, 0.2]\nlearning_rate choice [0.1]\npretrain_epochs choice [1, 2]\n"
    assert remarks(text, "S3Rec", pre_model_path="x.pth") == (
        "mask_ratio has no effect: pre_model_path names a trained model in the place of pretrain.",
        "pretrain_epochs has no effect: pre_model_path names a trained model in the place of pretrain.",
    )
    assert remarks(text + "pre_model_path choice ['', 'x.pth']\n", "S3Rec") == ()


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("hidden_size choice [16, 16.0, 8]", (16, 8)),
        ("hidden_size choice [16.0, 8, 16, '16']", (16.0, 8)),
        ("learner choice ['adam', 'Adam', 'sgd']", ("adam", "sgd")),
        ("learning_rate choice [1, 1.0, '1']", (1,)),
        ("enable_amp choice [True, 'true', False]", (True, False)),
        ("clip_grad_norm choice [None, 'None', {'max_norm': 1}]", (None, {"max_norm": 1})),
    ],
)
def test_options_that_the_configuration_reads_alike_count_once(line: str, values: tuple[object, ...]) -> None:
    schema = parameters_of("S3Rec")
    found = space.parse(f"# sizes\n{line}\n")
    found.check(schema)
    distinct = found.with_distinct_options(schema)
    (parameter,) = distinct.parameters
    assert (parameter.values, parameter.line, distinct.size) == (values, 2, len(values))
    assert [type(value) for value in parameter.values] == [type(value) for value in values]
    assert len(distinct.notes) == len(found.parameters[0].values) - len(values)
    assert all(note.startswith("hyper.test:2: the option ") and "counts once" in note for note in distinct.notes)
