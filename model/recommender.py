"""What a model does for the rest of the program: two small contracts. What declares it is :mod:`model.definition`.

* :class:`Recommender` scores items for histories; evaluation needs nothing else.
* :class:`Objective` turns rows of the training split into gradients; the training loop needs nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

# What a batch's loss is over its samples.
Reduction = Literal["sum", "mean"]


class Recommender(nn.Module, ABC):
    """A network that scores items for right-padded histories."""

    @abstractmethod
    def score_all(self, histories: Tensor, lengths: Tensor) -> Tensor:
        """Scores of every item.

        Args:
            histories: int64 [B, L], oldest first, right padded with 0.
            lengths: int64 [B], at least 1.

        Returns:
            float [B, item_num]; column 0 belongs to the padding and means nothing.
        """

    @abstractmethod
    def score(self, histories: Tensor, lengths: Tensor, candidates: Tensor) -> Tensor:
        """Scores of chosen items: ``candidates`` int64 [B, C] -> float [B, C]."""


def go_on() -> None:
    """The check of a run that nothing interrupts."""


class Objective(ABC):
    """The loss of one stage over rows of the training split.

    Attributes:
        check: to be called between two micro-batches where a batch takes seconds; may raise to interrupt.
    """

    check: Callable[[], None] = staticmethod(go_on)

    @property
    @abstractmethod
    def reduction(self) -> Reduction:
        """Whether the loss of a batch is the sum over its samples or their mean; a class attribute will do.

        What people are shown is the mean per sample of an epoch, which follows from it exactly.
        """

    @abstractmethod
    def begin_epoch(self, epoch: int) -> None:
        """Take the named random streams of epoch ``epoch`` (0-based) of this stage."""

    def arrange(self, order: Tensor) -> Tensor:
        """The epoch's samples in the order in which they are cut into batches; ``order`` unless overridden."""
        return order

    @abstractmethod
    def backward(self, rows: Tensor) -> Tensor:
        """Add the gradients of the loss over the batch ``rows`` (int64 [B]) to the parameters.

        One call is one optimizer step's worth of samples; how it is cut into micro-batches is the
        objective's affair. Returns the detached loss, a scalar on the model's device (no synchronisation).
        """
