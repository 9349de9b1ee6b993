"""The rungs of successive halving that promotes: after how many epochs a trial is compared with the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NAME = "asha_promotion"


@dataclass(frozen=True)
class Ladder:
    """Where the rungs are.

    Attributes:
        min_resource: epochs before the first rung.
        reduction_factor: one in so many goes on; the next rung is so many times higher.
    """

    min_resource: int = 1
    reduction_factor: int = 3

    def __post_init__(self) -> None:
        if not _whole(self.min_resource, 1):
            raise ValueError(f"min_resource is {self.min_resource!r}, and must be a whole number above 0.")
        if not _whole(self.reduction_factor, 2):
            raise ValueError(f"reduction_factor is {self.reduction_factor!r}, and must be a whole number above 1.")

    def rung(self, epoch: int) -> int | None:
        """The number (from 0) of the rung that is reached after ``epoch`` epochs, None between rungs."""
        rung, place = 0, self.min_resource
        while place < epoch:
            rung, place = rung + 1, place * self.reduction_factor
        return rung if place == epoch else None


def ladder_of(pruner: dict[str, Any]) -> Ladder | None:
    """The ladder of a study's record of its pruner, None when that does not promote."""
    return Ladder(**pruner["options"]) if pruner["name"] == NAME else None


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
