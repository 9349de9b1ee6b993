"""S3Rec: self-supervised pretraining on masked items, attributes and segments, then finetuning."""

from __future__ import annotations

from model.definition import ModelDefinition, Stage, lazily
from model.s3rec.parameters import PARAMETERS, review

# The finetuning's parameters need no pretraining of their own, and pretraining lengths are prefixes of one run.
SEARCH_SPACE = """\
pretrain_epochs               choice      [10, 20]
finetune.learning_rate        loguniform  -8,-4
finetune.hidden_dropout_prob  uniform     0.1,0.5
"""

DEFINITION = ModelDefinition(
    name="S3Rec",
    summary="Transformer over the history, pretrained with four self-supervised losses, then finetuned.",
    parameters=PARAMETERS,
    stages=(
        Stage(
            "pretrain",
            epochs_key="pretrain_epochs",
            validates=False,
            objective=lazily("model.s3rec.objectives:PretrainObjective"),
        ),
        Stage(
            "finetune",
            epochs_key="epochs",
            validates=True,
            objective=lazily("model.s3rec.objectives:FinetuneObjective"),
        ),
    ),
    build=lazily("model.s3rec.network:build"),
    review=review,
    search_space=SEARCH_SPACE,
)
