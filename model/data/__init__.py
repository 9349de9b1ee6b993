"""Data sets: atomic files -> filtered interactions -> samples as flat tensors.

What computes is imported when it is first asked for, so that the catalogue can be read without torch and pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.data.dataset import Attributes, SequentialDataset, load_dataset
    from model.data.fields import Ragged
    from model.data.sequences import Samples

__all__ = ["Attributes", "Ragged", "Samples", "SequentialDataset", "load_dataset"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = {"Ragged": "fields", "Samples": "sequences"}.get(name, "dataset")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
