"""Read checkpoints that hold pickled Python objects, without importing or running any of them.

RecBole saves its configuration object, enumerations and numpy scalars beside the weights, partly in a pickle protocol
that ``torch.load(weights_only=True)`` does not read. Here every name in such a file that is not needed to rebuild a
tensor becomes a stand-in: a class that takes whatever it is given and does nothing with it.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch._utils

from model.errors import CheckpointError

# All that a dictionary of tensors needs. Both functions are on torch's own list of safe ones.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
}
_PLAIN = (bool, int, float, str, type(None))


class Inert:
    """Stands for an object of a class, or a call of a function, that is not loaded."""

    state: Any = None

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        """An object without content, whatever the arguments are."""
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> Inert:
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, _: Any, __: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        """Ignore an element."""

    def extend(self, _: Any) -> None:
        """Ignore elements."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _ALLOWED.get((module, name), Inert)


def load_foreign(path: Path) -> dict[str, Any]:
    """Content of a checkpoint, with stand-ins for its objects and ``config`` as a dictionary of plain values.

    Raises:
        CheckpointError: it is no file that ``torch.save`` wrote.
    """
    # torch would hand TorchScript archives and its format of 2019 to other readers, which have no allow-list.
    if not zipfile.is_zipfile(path) or _is_script(path):
        raise CheckpointError(f"{path}: is no checkpoint that torch.save wrote.")
    reader = SimpleNamespace(Unpickler=_Unpickler, __name__=__name__)
    content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=reader)
    if isinstance(content, dict) and "config" in content:
        content["config"] = _plain_config(content["config"])
    return content if isinstance(content, dict) else {}


def _is_script(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("constants.pkl") for name in archive.namelist())


def _plain_config(config: Any) -> dict[str, Any]:
    """What can be read of RecBole's configuration object."""
    state = config.state if isinstance(config, Inert) else config
    if isinstance(state, dict):
        state = state.get("final_config_dict", state)
    if not isinstance(state, dict):
        return {}
    return {key: value for key, value in state.items() if isinstance(key, str) and isinstance(value, _PLAIN)}
