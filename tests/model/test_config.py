"""Configuration: sources and precedence as in RecBole, checked values, and what RecBole gets wrong done as meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.config import Config, load_config, parse_literal
from model.errors import ConfigError
from model.literals import parse_yaml, read_yaml
from model.registry import parameters_of

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "config.json").read_text())
CASES = {case["name"]: case for case in GOLDEN["cases"]}

# Where RecBole raises or goes on with something nobody meant; each has a test of its own below.
DIFFERENT = {
    "documented pretrain example", "yaml None is a string", "eval_args replaced wholesale", "empty yaml",
    "unknown valid_metric accepted", "smaller-is-better valid metric", "BPR none", "ml-100k ignores data_path",
    "other dataset data_path", "metrics mixed", "value metric with full",
}  # fmt: skip
# Values that mean the same under another representation here.
COMPARED = (
    "learning_rate",
    "metrics",
    "topk",
    "valid_metric",
    "valid_metric_bigger",
    "loss_type",
    "seed",
    "repeatable",
)


def load_case(case: dict[str, Any], folder: Path) -> Config:
    files = []
    for number, text in enumerate(case["yaml_files"]):
        files.append(folder / f"{number}.yaml")
        files[-1].write_text(text)
    return load_config(
        case["model_arg"], case["dataset_arg"], config_files=files, config_dict=case["config_dict"],
        command_line=case["argv"],
    )  # fmt: skip


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "result" in case and name not in DIFFERENT])
def test_what_the_peer_accepts_comes_out_the_same(name: str, tmp_path: Path) -> None:
    wanted = CASES[name]["result"]
    config = load_case(CASES[name], tmp_path)
    assert (config.model, config.dataset) == (wanted["model"], wanted["dataset"])
    assert {key: config[key] for key in COMPARED} == {key: wanted[key] for key in COMPARED}
    assert config["eval_args"] == wanted["eval_args"]
    if wanted["MODEL_INPUT_TYPE"] == "PAIRWISE":
        assert config["train_neg_sample_args"] == wanted["train_neg_sample_args"]
    else:
        assert config["train_neg_sample_args"] is None


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "error" in case and name not in DIFFERENT])
def test_what_the_peer_refuses_is_refused_with_a_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\w+ .*\."):
        load_case(CASES[name], tmp_path)


def test_ce_ignores_negative_sampling_so_that_the_documented_example_runs(tmp_path: Path) -> None:
    assert load_case(CASES["documented pretrain example"], tmp_path)["train_neg_sample_args"] is None
    assert load_case(CASES["yaml None is a string"], tmp_path)["train_neg_sample_args"] is None


def test_bpr_without_negatives_gets_the_default_ones(tmp_path: Path) -> None:
    assert load_case(CASES["BPR none"], tmp_path)["train_neg_sample_args"]["distribution"] == "uniform"


def test_partial_eval_args_keep_the_sequential_rest(tmp_path: Path) -> None:
    eval_args = load_case(CASES["eval_args replaced wholesale"], tmp_path)["eval_args"]
    assert eval_args["mode"] == {"valid": "uni100", "test": "uni100"}
    assert (eval_args["split"], eval_args["order"]) == ({"LS": "valid_and_test"}, "TO")


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert load_case(CASES["empty yaml"], tmp_path)["learning_rate"] == 0.001


def test_a_valid_metric_that_does_not_exist_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"foo@3.*There are Recall, MRR, NDCG, Hit"):
        load_case(CASES["unknown valid_metric accepted"], tmp_path)


def test_smaller_is_better_follows_from_the_metric() -> None:
    settings = {"metrics": ["GiniIndex"], "valid_metric": "GiniIndex@10", "valid_metric_bigger": True}
    assert load_config("S3Rec", "d", config_dict=settings)["valid_metric_bigger"] is False


@pytest.mark.parametrize("metric", ["AUC", "RMSE"])
def test_metrics_of_labels_are_refused(metric: str) -> None:
    with pytest.raises(ConfigError, match="needs labels"):
        load_config("S3Rec", "d", config_dict={"metrics": [metric]})


# RecBole evaluates texts. What only evaluation gives (arithmetic, names, calls) stays a text here.
EVALUATED = {"2020-10-11", "key", "os.foo", "1/0", "[1][5]", "1e400"}


@pytest.mark.parametrize("case", GOLDEN["string_conversion"], ids=lambda case: case["input"] or "empty")
def test_texts_become_the_literals_that_they_are(case: dict[str, Any]) -> None:
    value = parse_literal(case["input"])
    if case["input"] in EVALUATED - {"1e400"}:
        assert value == case["input"]
    elif case["input"] == "1e400":
        assert value == float("inf")
    else:
        wanted = case["output"]
        assert value == (tuple(wanted["tuple"]) if isinstance(wanted, dict) and "tuple" in wanted else wanted)
        assert type(value).__name__ == case["type"]


@pytest.mark.parametrize("text", ["__import__('os').system('true')", "(lambda: 1)()", "[].append(1)", "open('x')"])
def test_nothing_is_ever_evaluated(text: str) -> None:
    assert parse_literal(text) == text


@pytest.mark.parametrize(("text", "wanted"), GOLDEN["yaml_scalars"].items())
def test_yaml_values_are_read_as_by_the_peer(text: str, wanted: Any, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"value: {text}\n")
    if isinstance(wanted, dict) and "error" in wanted:
        with pytest.raises(ConfigError, match=r"(?s)c\.yaml: is not valid YAML.*Quote"):
            read_yaml(file)
        return
    value = read_yaml(file)["value"]
    if isinstance(wanted, dict) and "float" in wanted:
        assert value == float(wanted["float"])
    elif text == "2020-10-11":
        assert str(value) == wanted
    else:
        assert (value, type(value)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    "content",
    ["a: 2020-13-45", "a: ._", "a: 0b_", "[" * 3000, "a: &a [*a]", "\0"],
    ids=["no date", "no float", "no integer", "too deep", "endless", "no text"],
)
def test_what_only_looks_like_yaml_is_refused_with_the_files_name(content: str) -> None:
    with pytest.raises(ConfigError, match=r"^c\.yaml: "):
        parse_yaml(content.encode(), "c.yaml")


def test_aliases_may_repeat_a_value_but_not_unfold_to_a_bomb() -> None:
    assert parse_yaml(b"a: &x [1, 2]\nb: *x\n", "c.yaml") == {"a": [1, 2], "b": [1, 2]}
    lines = ["v0: &v0 [1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"v{n}: &v{n} [{', '.join([f'*v{n - 1}'] * 8)}]" for n in range(1, 8)]
    with pytest.raises(ConfigError, match="Remove aliases"):
        parse_yaml("\n".join(lines).encode(), "c.yaml")


@pytest.mark.parametrize("content", ["- a\n- b\n", "!!python/object/apply:os.system ['true']\n", "a: [1\n"])
def test_a_file_that_is_no_mapping_of_plain_values_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        read_yaml(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: can't be read"):
        load_config("S3Rec", "d", config_files=[tmp_path / "absent.yaml"])


def test_a_count_that_arrives_as_a_float_is_a_count() -> None:
    config = load_config("S3Rec", "d", config_dict={"n_layers": 2.0})
    assert (config["n_layers"], type(config["n_layers"])) == (2, int)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n_layers", 2.5), ("n_layers", "two"), ("hidden_dropout_prob", 1.5), ("learner", "adamax"),
        ("hidden_act", "elu"), ("epochs", 0), ("learning_rate", float("nan")), ("n_layers", True),
        ("seed", 2**40), ("learning_rate", float("inf")), ("eval_args", {"modes": "full"}),
        ("eval_args", {"group_by": "item"}), ("eval_args", {"split": {"LS": "some"}}),
        ("eval_args", {"split": {"RS": [0.8, 0.2]}}), ("clip_grad_norm", {"max": 1.0}), ("clip_grad_norm", {}),
        ("load_col", {"inter": "user_id"}), ("unused_col", {"item": "class"}), ("val_interval", {1: "[0,1]"}),
        ("eval_args", {"mode": "uni0"}), ("eval_args", {"order": "RO"}), ("topk", []),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_with_its_key(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=key):
        load_config("S3Rec", "d", config_dict={key: value})


@pytest.mark.parametrize("key", ["eval_args", "user_inter_num_interval", "valid_metric", "load_col"])
def test_what_is_measured_is_the_same_in_all_stages(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"finetune\.{key} = .*holds for all stages\. Write {key}\."):
        load_config("S3Rec", "d", config_dict={f"finetune.{key}": None})


@pytest.mark.parametrize(
    ("sampling", "problem"),
    [
        ({"sample_num": 0}, "sample_num must be at least 1"),
        ({"sample_num": 1.5}, "sample_num needs a whole number"),
        ({"alpha": "high"}, "alpha needs a number"),
        ({"sample": 2}, "Did you mean sample_num"),
        ({"dynamic": True}, "dynamic"),
        (5, "needs a mapping"),
    ],
)
def test_negative_sampling_is_checked_when_the_loss_needs_it(sampling: Any, problem: str) -> None:
    settings = {"train_neg_sample_args": sampling}
    with pytest.raises(ConfigError, match=problem):
        load_config("S3Rec", "d", config_dict={**settings, "loss_type": "BPR"})
    assert load_config("S3Rec", "d", config_dict=settings)["train_neg_sample_args"] is None


def test_the_id_column_of_a_chosen_file_is_loaded_though_load_col_forgets_it() -> None:
    config = load_config("S3Rec", "d", config_dict={"load_col": {"inter": "*", "item": ["class"], "user": ["age"]}})
    assert config["load_col"] == {"inter": "*", "item": ["class", "item_id"], "user": ["age", "user_id"]}


def test_the_documented_defaults_win_over_the_shipped_ones() -> None:
    config = load_config("S3Rec", "d")
    assert (config["aap_weight"], config["mip_weight"], config["save_step"]) == (1.0, 0.2, 10)


def test_unknown_keys_are_kept_apart_with_the_nearest_name() -> None:
    config = load_config("S3Rec", "d", config_dict={"learning_rte": 0.1, "pretrain.batch": 3, "wandb_project": "x"})
    assert config.unknown["learning_rte"] == "learning_rate"
    assert set(config.unknown) == {"learning_rte", "pretrain.batch"}


def test_scoped_values_win_in_their_stage_and_are_dropped_elsewhere() -> None:
    config = load_config("S3Rec", "d", config_dict={"learning_rate": 0.1, "pretrain.learning_rate": 0.2})
    trial = {"finetune.learning_rate": 0.3, "hidden_dropout_prob": 0.4}
    pretrain, finetune = config.for_stage("pretrain", trial), config.for_stage("finetune", trial)
    assert (pretrain["learning_rate"], finetune["learning_rate"]) == (0.2, 0.3)
    assert pretrain["hidden_dropout_prob"] == finetune["hidden_dropout_prob"] == 0.4
    assert (pretrain["train_stage"], finetune["train_stage"]) == ("pretrain", "finetune")


def test_a_scoped_value_is_checked_like_any_other() -> None:
    with pytest.raises(ConfigError, match="learning_rate"):
        load_config("S3Rec", "d", config_dict={"pretrain.learning_rate": "fast"})


def test_a_configuration_is_immutable_and_changes_make_a_new_one() -> None:
    config = load_config("S3Rec", "d")
    changed = config.replace({"epochs": 5})
    assert (config["epochs"], changed["epochs"]) == (300, 5)
    changed["eval_args"]["mode"]["valid"] = "uni5"
    assert load_config("S3Rec", "d")["eval_args"]["mode"]["valid"] == "full"


def test_ml_100k_has_the_peers_settings_for_it() -> None:
    config = load_config("S3Rec", "ml-100k")
    assert config["load_col"] == CASES["ml-100k ignores data_path"]["result"]["load_col"]
    assert config["normalize_all"] is True


def test_a_learner_of_any_case_is_the_same_learner() -> None:
    configs = [load_config("S3Rec", "d", config_dict={"learner": name}) for name in ("adamw", "AdamW", "ADAMW")]
    assert {config["learner"] for config in configs} == {"adamw"}


def test_the_text_none_is_nothing_where_nothing_is_a_value() -> None:
    nullable = [p for p in parameters_of("S3Rec").values() if p.nullable and p.name != "train_neg_sample_args"]
    for text in ("None", "none", "null"):
        assert [parameter.name for parameter in nullable if parameter.check(text) is not None] == []
    with pytest.raises(ConfigError, match="hidden_act = 'None'"):
        parameters_of("S3Rec")["hidden_act"].check("None")
