"""SURGE's hyperparameters, their defaults, which of them have to fit, and which mean nothing when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.errors import ConfigError
from model.parameters import Parameter

_TRAIN = frozenset({"train"})
VARIANTS = ("released", "paper")

PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "surge_variant",
        "str",
        "released",
        "How graphs are pooled: 'released' keeps the strongest nodes as the authors' code does, 'paper' "
        "gathers nodes in soft clusters as the paper says.",
        choices=VARIANTS,
        stages=_TRAIN,
    ),
    Parameter("embedding_size", "int", 64, "Width of item embeddings.", minimum=1, stages=_TRAIN),
    Parameter(
        "hidden_size",
        "int",
        None,
        "Width of the gated unit's state; embedding_size unless set.",
        minimum=1,
        nullable=True,
        stages=_TRAIN,
    ),
    Parameter(
        "item_attribute",
        "str",
        None,
        "Item column whose attributes join the item embedding; none unless set.",
        nullable=True,
        stages=_TRAIN,
    ),
    Parameter(
        "attribute_embedding_size",
        "int",
        8,
        "Width of attribute embeddings; without effect when item_attribute is not set.",
        minimum=1,
        stages=_TRAIN,
    ),
    Parameter(
        "relative_threshold",
        "float",
        0.5,
        "Share of a history's item pairs that become edges, in (0, 1].",
        minimum=0.0001,
        maximum=1.0,
        stages=_TRAIN,
    ),
    Parameter(
        "metric_heads",
        "int",
        1,
        "Heads of the learned similarity; without effect with metric_grad 'none'.",
        minimum=1,
        stages=_TRAIN,
    ),
    Parameter(
        "metric_grad",
        "str",
        "ste",
        "Whether the similarity learns: 'ste' by a straight-through gradient, 'none': plain cosine.",
        choices=("ste", "none"),
        stages=_TRAIN,
    ),
    Parameter("attention_heads", "int", 1, "Attention heads, averaged.", minimum=1, stages=_TRAIN),
    Parameter(
        "pool_length",
        "int",
        30,
        "Nodes kept ('released') or clusters made ('paper'); at most MAX_ITEM_LIST_LENGTH.",
        minimum=1,
        stages=_TRAIN,
    ),
    Parameter("pool_layers", "int", 1, "Pooling layers; only 1 is available.", choices=(1,), stages=_TRAIN),
    Parameter("layer_sizes", "list", [100, 64], "Hidden layers of the prediction network.", stages=_TRAIN),
    Parameter("att_fcn_layer_sizes", "list", [80, 40], "Hidden layers of the attention networks.", stages=_TRAIN),
    Parameter(
        "att_activation",
        "str",
        "relu",
        "Activation of the attention networks.",
        choices=("relu", "leaky_relu", "tanh", "sigmoid"),
        stages=_TRAIN,
    ),
    Parameter(
        "batch_norm",
        "str",
        "masked",
        "Whether hidden layers are batch-normalised: 'masked' over real items only, 'none' not at all.",
        choices=("masked", "none"),
        stages=_TRAIN,
    ),
    Parameter(
        "dropout_prob",
        "float",
        0.0,
        "Dropout of item features.",
        minimum=0.0,
        maximum=0.99,
        stages=_TRAIN,
    ),
    Parameter(
        "assign_position",
        "bool",
        True,
        "Whether soft assignment knows positions ('paper' only; without it the variant ignores order).",
        stages=_TRAIN,
    ),
    Parameter(
        "same_mapping_weight",
        "float",
        1e-5,
        "Weight of the penalty for linked nodes in different clusters ('paper' only).",
        minimum=0.0,
        stages=_TRAIN,
    ),
    Parameter(
        "single_affiliation_weight",
        "float",
        1e-3,
        "Weight of the penalty for nodes in several clusters ('paper' only).",
        minimum=0.0,
        stages=_TRAIN,
    ),
    Parameter(
        "relative_position_weight",
        "float",
        None,
        "Weight of the penalty for clusters out of time order ('paper' only); unless set 1e-3, or 1e-5 with "
        "position_reg 'literal'.",
        minimum=0.0,
        nullable=True,
        stages=_TRAIN,
    ),
    Parameter(
        "position_reg",
        "str",
        "mean",
        "Form of that penalty: 'mean' position of each cluster, or 'literal' as printed ('paper' only).",
        choices=("mean", "literal"),
        stages=_TRAIN,
    ),
    Parameter(
        "loss_type",
        "str",
        "softmax",
        "'softmax' over the next item and its negatives, or 'bce' of each.",
        choices=("softmax", "bce"),
        stages=_TRAIN,
    ),
    Parameter(
        "train_neg_sample_args",
        "dict",
        {"distribution": "uniform", "sample_num": 4, "alpha": 1.0, "dynamic": False, "candidate_num": 0},
        "Negatives of each training sample; 'popularity' is corrected for, so that ranking needs no prior.",
        stages=_TRAIN,
    ),
    Parameter("embed_l2", "float", 1e-6, "L2 penalty of the embeddings in a batch.", minimum=0.0, stages=_TRAIN),
    Parameter("layer_l2", "float", 1e-6, "L2 penalty of the layers' weights.", minimum=0.0, stages=_TRAIN),
    Parameter(
        "micro_batch_size",
        "int",
        256,
        "Samples computed at once; batch normalisation sees one micro-batch at a time.",
        minimum=1,
        stages=_TRAIN,
    ),
    Parameter(
        "score_memory",
        "int",
        None,
        "MiB of intermediate results while ranking; unless set 48 (fits a CPU's caches), 4096 on a GPU. It "
        "fixes the chunk size, which the last bits of scores depend on.",
        minimum=1,
        nullable=True,
        without_effect="it decides how much is computed at once, not what",
    ),
)

_PAPER_ONLY = (
    "assign_position",
    "same_mapping_weight",
    "single_affiliation_weight",
    "relative_position_weight",
    "position_reg",
)


def review(values: Mapping[str, Any]) -> dict[str, str]:
    """The keys that have no effect beside the other values, each with the reason.

    Raises:
        ConfigError: values do not fit each other.
    """
    if values["pool_length"] > values["MAX_ITEM_LIST_LENGTH"]:
        raise ConfigError(
            f"pool_length = {values['pool_length']}: pool_length must be at most MAX_ITEM_LIST_LENGTH, "
            f"which is {values['MAX_ITEM_LIST_LENGTH']}."
        )
    for key in ("layer_sizes", "att_fcn_layer_sizes"):
        _check_sizes(key, values[key])
    idle: dict[str, str] = {}
    if values["surge_variant"] == "released":
        idle |= dict.fromkeys(_PAPER_ONLY, "only surge_variant 'paper' has soft clusters")
    elif values["relative_position_weight"] == 0:
        idle["position_reg"] = "relative_position_weight is 0"
    if values["metric_grad"] == "none":
        idle["metric_heads"] = "with metric_grad 'none' all heads are the plain cosine"
    if values["item_attribute"] is None:
        idle["attribute_embedding_size"] = "item_attribute is not set"
    return idle


def _check_sizes(key: str, sizes: Any) -> None:
    if not sizes or any(type(size) is not int or size < 1 for size in sizes):
        raise ConfigError(f"{key} = {sizes!r}: {key} needs whole numbers of at least 1, e.g. [80, 40].")
