"""What the tests of the commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# A study of real training that takes seconds.
STUDY = """\
model: S3Rec
dataset: toy
config:
  hidden_size: 8
  inner_size: 8
  n_layers: 1
  MAX_ITEM_LIST_LENGTH: 8
  train_batch_size: 64
  learning_rate: 0.01
  hidden_dropout_prob: 0.1
  attn_dropout_prob: 0.1
  epochs: 8
  valid_metric: NDCG@10
"""
SPACE = "pretrain_epochs choice [1, 2]\nfinetune.learning_rate choice [0.01, 0.03]\n"


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str


Tuner = Callable[..., Outcome]
