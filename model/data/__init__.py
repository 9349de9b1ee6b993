"""Data sets: atomic files -> filtered interactions -> samples as flat tensors.

The catalogue is read without torch and pandas; what computes is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.data.dataset import Attributes, SequentialDataset, load_dataset
    from model.data.fields import Ragged
    from model.data.sequences import Samples
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from model.data import dataset, fields, sequences

        return next(getattr(module, name) for module in (dataset, fields, sequences) if hasattr(module, name))


__all__ = ["Attributes", "Ragged", "Samples", "SequentialDataset", "load_dataset"]
