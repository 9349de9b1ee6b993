"""What went wrong with a trial, and whether to try it again."""

from __future__ import annotations

import errno
import traceback
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import torch

from model.errors import NonFiniteLoss

# Long enough for any traceback that a person reads to its end.
_TRACEBACK_LIMIT = 20_000
# After a failure that may pass (memory), others go first for a while.
RETRY_DELAY_SECONDS = 5.0


class FailureKind(StrEnum):
    """Classes of failures, each with a number of retries."""

    RAISED = "raised"
    NAN = "nan"
    OUT_OF_MEMORY = "out_of_memory"


# The same computation raises the same error and gives the same NaN; memory may be free another time.
RETRIES: dict[FailureKind, int] = {
    FailureKind.RAISED: 0,
    FailureKind.NAN: 0,
    FailureKind.OUT_OF_MEMORY: 1,
}
# What torch, its libraries and the system say in errors of a general class.
_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "Cannot allocate memory",
    "bad_alloc",
    "ALLOC_FAILED",
)


@dataclass(frozen=True)
class Failure:
    """An exception as it is stored and shown."""

    kind: FailureKind
    type: str
    message: str
    traceback: str

    @property
    def record(self) -> dict[str, Any]:
        return {
            "kind": str(self.kind),
            "type": self.type,
            "message": self.message,
            "traceback": self.traceback,
        }


def describe(error: BaseException) -> Failure:
    """The failure that an exception is."""
    text = "".join(traceback.format_exception(error))
    message = str(error) or type(error).__name__
    return Failure(_kind(error), type(error).__name__, message, text[-_TRACEBACK_LIMIT:])


def _kind(error: BaseException) -> FailureKind:
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or _says_memory(error):
        return FailureKind.OUT_OF_MEMORY
    if isinstance(error, NonFiniteLoss):
        return FailureKind.NAN
    return FailureKind.RAISED


def _says_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _MEMORY)
