"""Read checkpoints that hold pickled Python objects, without importing or running any of them.

RecBole saves its configuration object, enumerations and numpy scalars beside the weights, partly in a pickle protocol
that ``torch.load(weights_only=True)`` does not read. Here every name in such a file that is not needed to rebuild a
tensor or a number becomes a stand-in: a class that takes whatever it is given and does nothing with it. numpy's
scalars, which RecBole's best scores are, are read as plain numbers, by readers that are here and not numpy's.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import torch
import torch._utils

from model.errors import CheckpointError

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


# numpy's codes of the numbers that are read, and struct's.
_NUMBERS = {
    **{"b1": "?", "f2": "e", "f4": "f", "f8": "d"},
    **{"i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q"},
}


class _NumberType:
    """Stands for ``numpy.dtype``: knows how a number's bytes are to be read, of the types that are listed above."""

    def __init__(self, code: Any = None, *_: Any) -> None:
        self.format, self.order = _NUMBERS.get(str(code)), "<"

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.order = state[1]


def _number(kind: Any = None, data: Any = None, *_: Any) -> Any:
    """Stands for numpy's ``scalar``: the plain number, or a stand-in for what is none."""
    if not isinstance(kind, _NumberType) or kind.format is None or not isinstance(data, bytes):
        return Inert()
    form = kind.order + kind.format
    return struct.unpack(form, data)[0] if len(data) == struct.calcsize(form) else Inert()


def _bytes(text: Any = None, encoding: Any = None, *_: Any) -> Any:
    """Stands for ``_codecs.encode``, with which the pickle protocol 2 writes bytes."""
    return text.encode("latin1") if isinstance(text, str) and encoding == "latin1" else Inert()


# All that a dictionary of tensors and numbers needs. torch's functions are on its own list of safe ones.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
    ("numpy", "dtype"): _NumberType,
    ("_codecs", "encode"): _bytes,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _ALLOWED.get((module, name), Inert)


def load_foreign(file: IO[bytes], path: Path) -> dict[str, Any]:
    """Content of a checkpoint, with stand-ins for its objects and ``config`` as a dictionary of plain values.

    Args:
        path: what to call the file in errors.

    Raises:
        CheckpointError: it is no file that ``torch.save`` wrote.
    """
    # torch would hand TorchScript archives and its format of 2019 to other readers, which have no allow-list.
    if not zipfile.is_zipfile(file) or _is_script(file):
        raise CheckpointError(f"{path}: is no checkpoint that torch.save wrote.")
    file.seek(0)
    reader = SimpleNamespace(Unpickler=_Unpickler, __name__=__name__)
    content = torch.load(file, map_location="cpu", weights_only=False, pickle_module=reader)
    if isinstance(content, dict) and "config" in content:
        content["config"] = _plain_config(content["config"])
    return content if isinstance(content, dict) else {}


def _is_script(file: IO[bytes]) -> bool:
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("constants.pkl") for name in archive.namelist())


def _plain_config(config: Any) -> dict[str, Any]:
    """What can be read of RecBole's configuration object."""
    state = config.state if isinstance(config, Inert) else config
    if isinstance(state, dict):
        state = state.get("final_config_dict", state)
    if not isinstance(state, dict):
        return {}
    return {key: value for key, value in state.items() if isinstance(key, str) and isinstance(value, _PLAIN)}
