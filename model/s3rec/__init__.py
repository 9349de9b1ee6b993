"""S3Rec: self-supervised pretraining on masked items, attributes and segments, then finetuning."""

from __future__ import annotations

from model.recommender import ModelDefinition, Stage
from model.s3rec.network import S3Rec, build
from model.s3rec.objectives import FinetuneObjective, PretrainObjective
from model.s3rec.parameters import PARAMETERS, review

DEFINITION = ModelDefinition(
    name="S3Rec",
    summary="Transformer over the history, pretrained with four self-supervised losses, then finetuned.",
    parameters=PARAMETERS,
    stages=(
        Stage("pretrain", epochs_key="pretrain_epochs", validates=False, objective=PretrainObjective),
        Stage("finetune", epochs_key="epochs", validates=True, objective=FinetuneObjective),
    ),
    build=build,
    review=review,
)

__all__ = ["DEFINITION", "S3Rec", "build"]
