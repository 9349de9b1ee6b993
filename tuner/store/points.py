"""An epoch as it is kept, apart from the tables so that clients read it without SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CurvePoint:
    """One finished epoch of a trial, of its shared stage or of its own.

    Attributes:
        loss: the sum of the batches' losses, as RecBole reports it.
        mean_loss: the mean per sample; None of an epoch from before it was kept.
    """

    stage: str
    epoch: int
    loss: float | None
    mean_loss: float | None
    valid_score: float | None
    valid_result: dict[str, Any] | None
    seconds: float
