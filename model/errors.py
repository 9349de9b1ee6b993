"""Everything the model package raises on purpose.

Each message is a sentence for the person who meets it: what was found, where, and what to do.
"""

from __future__ import annotations


class ModelError(Exception):
    """Base class of the family; callers that only want to report catch this one."""


class ConfigError(ModelError, ValueError):
    """A configuration value is unknown, of the wrong type, out of range or contradicts another."""


class DataError(ModelError):
    """A data set can't be found, read, or used in the way that the configuration asks for."""


class DatasetNotFound(DataError):
    """No folder holds the named data set."""


class AttributeColumnMissing(DataError):
    """The item attribute that a model needs is not among the loaded columns."""


class CheckpointError(ModelError):
    """A checkpoint can't be read or does not fit."""


class CheckpointNotFound(CheckpointError):
    """There is no file at the given path."""


class CheckpointUnreadable(CheckpointError):
    """The file could not be opened or read just now; what is in it may be whole. The cause is the OSError."""


class CheckpointMismatch(CheckpointError):
    """The checkpoint was made for another data set, model or shape."""


class TrainingError(ModelError):
    """Training can't go on."""


class NonFiniteLoss(TrainingError):
    """The loss became NaN or infinite."""
