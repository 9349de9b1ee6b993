"""Checkpoints: written whole or not at all, read without running anything they contain.

The file is RecBole's dictionary (``state_dict``, ``optimizer``, ``epoch``, ``config``, ``other_parameter``, ...) with
one section more, ``rectuner``. Everything in it is a tensor, number, text or container, so torch reads it with
``weights_only=True``. RecBole's own files also hold Python objects; these are read as inert stand-ins.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from model.errors import CheckpointError, CheckpointMismatch, CheckpointNotFound

if TYPE_CHECKING:
    from model.config import Config

FORMAT = 1

# Which configuration key decides a dimension, to say more than two shapes that differ.
_KEY_OF_SHAPE = {
    "item_embedding": "the data set's items or hidden_size",
    "position_embedding": "MAX_ITEM_LIST_LENGTH or hidden_size",
    "feature_embedding": "item_attribute or hidden_size",
    "feed_forward": "inner_size or hidden_size",
}

# What RecBole's pickles name besides what torch allows; nothing of it is ever run.
_KNOWN_OBJECTS = ("recbole.", "yaml.loader.", "numpy.", "torch.device", "builtins.")
_NEVER = ("builtins.eval", "builtins.exec", "builtins.getattr", "builtins.__import__", "builtins.open")


class _Inert:
    """Stands for an object of a class that is not loaded."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint so that readers see the old file or the new one, never a part.

    Raises:
        OSError: the folder can't be written, or the disk is full; an old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(dict(content), file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    # The rename itself has to reach the disk too.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of Rectuner or RecBole onto the CPU.

    Raises:
        CheckpointNotFound: there is no such file.
        CheckpointError: it is no checkpoint, or names objects that neither program writes.
    """
    if not path.is_file():
        raise CheckpointNotFound(
            f"{path}: there is no checkpoint. Pretrain first (train_stage: pretrain), or correct pre_model_path."
        )
    try:
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        for name in foreign:
            if name in _NEVER or not name.startswith(_KNOWN_OBJECTS):
                raise CheckpointError(f"{path}: names {name}, which no recommender's checkpoint needs. Not loaded.")
        stubs: list[Any] = [(type("Inert", (_Inert,), {}), name) for name in foreign]
        with torch.serialization.safe_globals(stubs):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: can't be read as a checkpoint: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise CheckpointError(f"{path}: has no state_dict; it is no checkpoint of a recommender.")
    return content


def load_weights(model: nn.Module, content: Mapping[str, Any], path: Path, config: Config, items: str) -> None:
    """Put a checkpoint's weights into ``model``.

    Args:
        items: digest of the data set's item ids, see :func:`model.run.items_digest`.

    Raises:
        CheckpointMismatch: it was made for another data set, or for other shapes; both are named.
    """
    section = content.get("rectuner") or {}
    made_for = section.get("dataset")
    if made_for is not None and (made_for != config.dataset or section.get("items") != items):
        other = f"data set {made_for!r}" if made_for != config.dataset else f"other items of {made_for!r}"
        raise CheckpointMismatch(
            f"{path}: was made for {other}, this run is for {config.dataset!r}. "
            "Pretrain on this data with these filters, or correct pre_model_path."
        )
    found: dict[str, Tensor] = content["state_dict"]
    wanted = model.state_dict()
    for name in dict.fromkeys([*wanted, *found]):
        theirs = tuple(found[name].shape) if name in found else None
        ours = tuple(wanted[name].shape) if name in wanted else None
        if theirs != ours:
            cause = next((cause for part, cause in _KEY_OF_SHAPE.items() if part in name), "n_layers or hidden_size")
            raise CheckpointMismatch(
                f"{path}: {name} is {theirs or 'missing'} in the checkpoint and {ours or 'unknown'} in this run "
                f"(data set {config.dataset!r}). Check {cause}: it must be as it was in pretraining."
            )
    model.load_state_dict(found)
