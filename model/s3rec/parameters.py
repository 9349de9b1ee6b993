"""S3Rec's hyperparameters, with the documented defaults.

RecBole's shipped configuration differs from its documentation in three of them (aap_weight 0.2, mip_weight 1.0,
save_step 50); see docs/configuration.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.errors import ConfigError
from model.parameters import Parameter

_BOTH = frozenset({"pretrain", "finetune"})
_PRETRAIN = frozenset({"pretrain"})
_FINETUNE = frozenset({"finetune"})

PARAMETERS: tuple[Parameter, ...] = (
    Parameter("hidden_size", "int", 64, "Width of embeddings and layers.", minimum=1, stages=_BOTH),
    Parameter("inner_size", "int", 256, "Width inside the feed-forward layers.", minimum=1, stages=_BOTH),
    Parameter("n_layers", "int", 2, "Transformer layers.", minimum=1, stages=_BOTH),
    Parameter("n_heads", "int", 2, "Attention heads; divides hidden_size.", minimum=1, stages=_BOTH),
    Parameter(
        "hidden_dropout_prob",
        "float",
        0.5,
        "Dropout of embeddings and of layer outputs.",
        minimum=0.0,
        maximum=0.99,
        stages=_BOTH,
    ),
    Parameter(
        "attn_dropout_prob",
        "float",
        0.5,
        "Dropout of attention weights.",
        minimum=0.0,
        maximum=0.99,
        stages=_BOTH,
    ),
    Parameter(
        "hidden_act",
        "str",
        "gelu",
        "Activation of the feed-forward layers.",
        choices=("gelu", "relu", "swish", "tanh", "sigmoid"),
        stages=_BOTH,
    ),
    Parameter("layer_norm_eps", "float", 1e-12, "Added to variances in layer norms.", minimum=0.0, stages=_BOTH),
    Parameter(
        "initializer_range",
        "float",
        0.02,
        "Standard deviation of initial weights.",
        minimum=0.0,
        stages=_BOTH,
    ),
    Parameter(
        "mask_ratio",
        "float",
        0.2,
        "Share of items that pretraining masks.",
        minimum=0.0,
        maximum=1.0,
        stages=_PRETRAIN,
    ),
    Parameter("aap_weight", "float", 1.0, "Weight of associated attribute prediction.", stages=_PRETRAIN),
    Parameter("mip_weight", "float", 0.2, "Weight of masked item prediction.", stages=_PRETRAIN),
    Parameter("map_weight", "float", 1.0, "Weight of masked attribute prediction.", stages=_PRETRAIN),
    Parameter("sp_weight", "float", 0.5, "Weight of segment prediction.", stages=_PRETRAIN),
    Parameter(
        "train_stage",
        "str",
        "pretrain",
        "What a single call of the Python API runs; studies run both stages.",
        choices=("pretrain", "finetune"),
        without_effect="a trial runs both stages",
    ),
    Parameter("item_attribute", "str", "class", "Item column that pretraining predicts.", stages=_BOTH),
    Parameter("pretrain_epochs", "int", 500, "Epochs of pretraining; 0: finetune from fresh weights.", minimum=0),
    Parameter(
        "save_step",
        "int",
        10,
        "Pretraining epochs between checkpoints.",
        minimum=1,
        without_effect="a study keeps the epochs that its trials need",
    ),
    Parameter("pre_model_path", "str", "", "Pretrained checkpoint that finetuning of the Python API starts from."),
    Parameter("loss_type", "str", "CE", "Loss of finetuning.", choices=("CE", "BPR"), stages=_FINETUNE),
    Parameter(
        "share_prefixes",
        "bool",
        False,
        "Finetuning batches hold all prefixes of a history together and compute them in one pass: faster, with other "
        "batches than RecBole's, and dropout that the prefixes share.",
        stages=_FINETUNE,
    ),
    # Where RecBole is likely wrong: the defaults are what it does.
    Parameter(
        "position_alignment",
        "str",
        "right",
        "Pretraining numbers positions so that histories end at the last one ('right', RecBole), or begin at the "
        "first one as in finetuning ('left'), so that short histories are finetuned on the positions they learned.",
        choices=("right", "left"),
        stages=_PRETRAIN,
    ),
    Parameter(
        "double_sigmoid",
        "bool",
        True,
        "Item and segment losses compare sigmoids of scores, which bounds them and weakens their gradients (RecBole); "
        "false: the scores.",
        stages=_PRETRAIN,
    ),
    Parameter(
        "mask_token_negative",
        "bool",
        True,
        "The mask token can be drawn as the wrong item for a masked one (RecBole); false: items only.",
        stages=_PRETRAIN,
    ),
    Parameter(
        "missing_attribute",
        "str",
        "last",
        "An item without a value in a single-valued attribute column counts as having the last value ('last', "
        "RecBole) or no attribute ('none').",
        choices=("last", "none"),
        stages=_PRETRAIN,
    ),
    Parameter(
        "pretrain_reduction",
        "str",
        "sum",
        "Pretraining adds losses up over a batch, so that gradients grow with its size ('sum', RecBole), or divides "
        "by its samples ('mean').",
        choices=("sum", "mean"),
        stages=_PRETRAIN,
    ),
    Parameter(
        "pretrain_attention",
        "str",
        "bidirectional",
        "In pretraining a position sees all others ('bidirectional', the paper and RecBole) or, as in finetuning, only "
        "earlier ones ('causal').",
        choices=("bidirectional", "causal"),
        stages=_PRETRAIN,
    ),
    Parameter(
        "pretrain_samples",
        "str",
        "prefixes",
        "Pretraining sees every prefix of every history, early events again and again ('prefixes', RecBole), or "
        "windows of MAX_ITEM_LIST_LENGTH events that have each event once ('windows'), a small part of the work.",
        choices=("prefixes", "windows"),
        stages=_PRETRAIN,
    ),
    Parameter(
        "segment_pool",
        "str",
        "batch",
        "A wrong segment is drawn from all histories of the batch, its own included, where it may equal the right one "
        "('batch', RecBole), or from the others ('others').",
        choices=("batch", "others"),
        stages=_PRETRAIN,
    ),
    Parameter(
        "single_item_segments",
        "bool",
        True,
        "Histories of one item, which have no segments, add a constant to the segment loss (RecBole); false: nothing.",
        stages=_PRETRAIN,
    ),
    Parameter(
        "rank_special_tokens",
        "bool",
        True,
        "Cross entropy counts padding and mask token among the items to rank (RecBole); false: items only.",
        stages=_FINETUNE,
    ),
)


def review(values: Mapping[str, Any]) -> dict[str, str]:
    """The keys that have no effect beside the other values, each with the reason.

    Raises:
        ConfigError: the attention heads do not divide the width.
    """
    width, heads = values["hidden_size"], values["n_heads"]
    if width % heads:
        raise ConfigError(f"hidden_size = {width}: n_heads = {heads} does not divide it. Change one of them.")
    if values["loss_type"] == "CE":
        return {"train_neg_sample_args": "loss_type 'CE' compares with all items"}
    return {"rank_special_tokens": "only loss_type 'CE' ranks all items"}
