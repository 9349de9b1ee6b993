"""The configuration keys that every model shares, with RecBole's names and defaults.

Keys that shape the data set carry no stage: the data's fingerprint stands for them in a stage's identity.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from model.parameters import ANY_STAGE, Parameter

_TRAINING = frozenset({ANY_STAGE})
_measuring = partial(Parameter, measures=True)

ENVIRONMENT = (
    Parameter("seed", "int", 2020, "Seed of initialisation, data order and all noise.", minimum=0, maximum=2**32 - 1),
    Parameter(
        "gpu_id",
        "any",
        "0",
        "GPU to use when there is one; '' for the CPU.",
        nullable=True,
        without_effect="it says where a trial is computed, not what",
    ),
    Parameter(
        "use_gpu",
        "bool",
        True,
        "Whether a GPU may be used.",
        without_effect="it says where a trial is computed, not what",
    ),
    Parameter(
        "state", "str", "INFO", "Level of the Python API's log.", without_effect="it concerns the log of the Python API"
    ),
    Parameter(
        "show_progress",
        "bool",
        True,
        "Whether the Python API draws progress bars.",
        without_effect="it concerns the log of the Python API",
    ),
    Parameter(
        "checkpoint_dir",
        "str",
        "saved",
        "Folder of the Python API's checkpoints.",
        without_effect="the artifact store is where a study's files are",
    ),
    Parameter(
        "loss_decimal_place",
        "int",
        4,
        "Decimals of losses in logs.",
        minimum=0,
        without_effect="it concerns the log of the Python API",
    ),
)

# All of these enter the data's fingerprint. Two shape only what a model sees of the data: the same next items of the
# same users are ranked among the same items, so that they can be searched.
DATA = (
    _measuring("data_path", "str", "dataset/", "Folder that holds one folder per data set."),
    _measuring("encoding", "str", None, "Encoding of the atomic files; UTF-8 unless set.", nullable=True),
    _measuring("field_separator", "str", "\t", "What separates columns."),
    _measuring("seq_separator", "str", " ", "What separates the values of a sequence column."),
    _measuring("USER_ID_FIELD", "str", "user_id", "Column of user ids."),
    _measuring("ITEM_ID_FIELD", "str", "item_id", "Column of item ids."),
    _measuring("TIME_FIELD", "str", "timestamp", "Column that orders a user's interactions."),
    _measuring("LIST_SUFFIX", "str", "_list", "Suffix of history columns in benchmark files."),
    Parameter("MAX_ITEM_LIST_LENGTH", "int", 50, "Longest history; older events are cut off.", minimum=1),
    _measuring("seq_len", "dict", None, "Longest value of sequence columns, by column.", nullable=True),
    _measuring("load_col", "dict", {"inter": ["user_id", "item_id"]}, "Columns to load.", nullable=True),
    _measuring("unload_col", "dict", None, "Columns not to load, by file.", nullable=True),
    Parameter("unused_col", "dict", None, "Columns dropped once filtering is done.", nullable=True),
    _measuring("rm_dup_inter", "any", None, "Duplicates: keep 'first', 'last', or False: none.", nullable=True),
    _measuring("val_interval", "dict", None, "Values to keep, by column: '[3,inf)' or a list.", nullable=True),
    _measuring("filter_inter_by_user_or_item", "bool", True, "Drop interactions of unlisted users or items."),
    _measuring("user_inter_num_interval", "any", "[0,inf)", "Interactions a user must have.", nullable=True),
    _measuring("item_inter_num_interval", "any", "[0,inf)", "Interactions an item must have.", nullable=True),
    _measuring("alias_of_user_id", "list", None, "Columns that hold user ids too.", nullable=True),
    _measuring("alias_of_item_id", "list", None, "Columns that hold item ids too.", nullable=True),
    _measuring("normalize_field", "list", None, "Columns scaled to [0, 1].", nullable=True),
    _measuring("normalize_all", "bool", None, "Whether all float columns are scaled to [0, 1].", nullable=True),
    _measuring("benchmark_filename", "list", None, "Suffixes of ready train, valid, test files.", nullable=True),
)

TRAINING = (
    Parameter("epochs", "int", 300, "Most epochs of the stage that validates.", minimum=1),
    Parameter("train_batch_size", "int", 2048, "Samples per optimizer step.", minimum=1, stages=_TRAINING),
    Parameter(
        "learner",
        "str",
        "adam",
        "Optimizer.",
        choices=("adam", "adamw", "sgd", "adagrad", "rmsprop"),
        any_case=True,
        stages=_TRAINING,
    ),
    Parameter("learning_rate", "float", 0.001, "Learning rate.", minimum=0.0, stages=_TRAINING),
    Parameter("weight_decay", "float", 0.0, "Weight decay of the optimizer.", minimum=0.0, stages=_TRAINING),
    Parameter(
        "clip_grad_norm",
        "dict",
        None,
        "Arguments of torch's clip_grad_norm_, e.g. {max_norm: 1.0}.",
        nullable=True,
        stages=_TRAINING,
    ),
    Parameter(
        "enable_amp",
        "bool",
        False,
        "Whether matrix products round their factors to bfloat16 (TF32 on a GPU): faster, with other bits.",
        stages=_TRAINING,
    ),
    Parameter("shuffle", "bool", True, "Whether each epoch has its own order.", stages=_TRAINING),
    Parameter(
        "train_neg_sample_args",
        "dict",
        {"distribution": "uniform", "sample_num": 1, "alpha": 1.0, "dynamic": False, "candidate_num": 0},
        "Negative sampling of losses that need negatives; ignored with CE.",
        nullable=True,
    ),
    Parameter("eval_step", "int", 1, "Epochs between validations."),
    Parameter("stopping_step", "int", 10, "Validations without improvement before training ends.", minimum=0),
)

SEQUENTIAL_EVAL_ARGS: dict[str, Any] = {
    "split": {"LS": "valid_and_test"},
    "order": "TO",
    "group_by": "user",
    "mode": {"valid": "full", "test": "full"},
}

EVALUATION = (
    _measuring("eval_args", "dict", SEQUENTIAL_EVAL_ARGS, "Split, order, grouping and candidates."),
    _measuring(
        "valid_users",
        "int",
        None,
        "Validate on so many users, drawn once for all trials of a seed; on all unless set. The test uses all.",
        minimum=1,
        nullable=True,
    ),
    _measuring("repeatable", "bool", True, "Whether items may be recommended again.", choices=(True,)),
    _measuring("metrics", "list", ["Recall", "MRR", "NDCG", "Hit", "Precision"], "Metrics to report."),
    _measuring("topk", "list", [10], "Lengths of the ranked lists."),
    _measuring("valid_metric", "str", "MRR@10", "Metric that decides: early stopping, best epoch, objective."),
    _measuring("valid_metric_bigger", "bool", True, "Follows from valid_metric; a value set here is ignored."),
    Parameter(
        "eval_batch_size",
        "int",
        4096,
        "Samples per evaluation batch.",
        minimum=1,
        without_effect="it decides how much is computed at once, not what",
    ),
    _measuring("metric_decimal_place", "int", 4, "Decimals that metrics are rounded to.", minimum=0),
    _measuring("tail_ratio", "float", None, "What counts as tail in TailPercentage.", minimum=0.0, nullable=True),
)

COMMON: tuple[Parameter, ...] = ENVIRONMENT + DATA + TRAINING + EVALUATION

# RecBole keys that are accepted and have no effect here, so that its configuration files load without noise: those of
# its programs and distributed runs, of other kinds of models, and of what is not available here.
ACCEPTED = frozenset(
    "model dataset config_file config_files params_file output_file display_file tool worker reproducibility "
    "save_dataset dataset_save_path save_dataloaders dataloaders_save_path log_wandb wandb_project tensorboard "
    "enable_scaler transform require_pow nproc group_offset world_size local_rank ip port "
    "numerical_features discretization threshold preload_weight additional_feat_suffix "
    "RATING_FIELD LABEL_FIELD NEG_PREFIX ITEM_LIST_LENGTH_FIELD POSITION_FIELD "
    "HEAD_ENTITY_ID_FIELD TAIL_ENTITY_ID_FIELD RELATION_ID_FIELD ENTITY_ID_FIELD kg_reverse_r "
    "entity_kg_num_interval relation_kg_num_interval alias_of_entity_id alias_of_relation_id".split()
)

# What RecBole's packaged files set for a data set by name.
BY_DATASET: dict[str, dict[str, Any]] = {
    "ml-100k": {
        "load_col": {
            "inter": ["user_id", "item_id", "rating", "timestamp"],
            "item": ["item_id", "release_year", "class"],
        },
        "normalize_all": True,
    }
}

SMALLER_IS_BETTER = frozenset({"averagepopularity", "giniindex", "mae", "rmse", "logloss"})
