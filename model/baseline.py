"""What a study's best result has to beat: a model that needs no training, under the study's own protocol."""

from __future__ import annotations

from collections.abc import Callable

from model.config import Config
from model.data import SequentialDataset
from model.evaluation import evaluate
from model.registry import BASELINE, get_model


def baseline(
    config: Config, dataset: SequentialDataset, check: Callable[[], None] | None = None
) -> dict[str, dict[str, float] | None]:
    """The baseline's metrics on both splits: ``{"valid": {"ndcg@10": ...}, "test": {...}}``.

    Args:
        config: of the model that is compared, for the protocol; the baseline has no parameters of its own.
        check: called between two batches of samples; may raise to interrupt.
    """
    model = get_model(BASELINE).build(config, dataset)
    return {
        "valid": evaluate(model, dataset, "valid", config, check=check),
        "test": evaluate(model, dataset, "test", config, check=check),
    }
