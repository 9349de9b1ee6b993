"""Checkpoints: written whole or not at all, read without running anything they contain.

The file is RecBole's dictionary (``state_dict``, ``optimizer``, ``epoch``, ``config``, ``other_parameter``, ...) with
one section more, ``rectuner``. Everything in it is a tensor, number, text or container, so torch reads it with
``weights_only=True``. RecBole's own files also hold Python objects; these are read as inert stand-ins.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from model.errors import CheckpointError, CheckpointMismatch, CheckpointNotFound
from model.foreign import load_foreign
from model.whole_files import save_whole

if TYPE_CHECKING:
    from model.config import Config

FORMAT = 1

# Which configuration keys decide a tensor's shape, to say more than two shapes that differ.
_SHAPED_BY = {
    "item_embedding": ("hidden_size",),
    "position_embedding": ("MAX_ITEM_LIST_LENGTH", "hidden_size"),
    "feature_embedding": ("item_attribute", "hidden_size"),
    "feed_forward": ("n_layers", "inner_size", "hidden_size"),
    "": ("n_layers", "hidden_size"),
}


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint so that readers see the old file or the new one, never a part.

    Raises:
        OSError: the folder can't be written, or the disk is full; an old file is untouched.
    """
    save_whole(path, _on_cpu(dict(content)))


def _on_cpu(value: Any) -> Any:
    """The value with its tensors on the CPU: machines without a GPU have to read the file too, also with RecBole."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, Mapping):
        return {key: _on_cpu(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_on_cpu(inner) for inner in value]
    return value


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of Rectuner or RecBole onto the CPU.

    Raises:
        CheckpointNotFound: there is no such file.
        CheckpointError: it is no checkpoint.
    """
    if not path.is_file():
        raise CheckpointNotFound(
            f"{path}: there is no checkpoint{_others(path)}. "
            "Pretrain first (train_stage: pretrain), or correct pre_model_path."
        )
    try:
        content = _read(path)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: can't be read as a checkpoint: {error}") from error
    state = content.get("state_dict")
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: has no state_dict of tensors; it is no checkpoint of a recommender.")
    return content


def _others(path: Path) -> str:
    """The checkpoints that are in the folder, the newest few."""
    found = sorted(path.parent.glob("*.pth"), key=lambda other: other.stat().st_mtime, reverse=True)
    return f" (in that folder: {', '.join(other.name for other in found[:5])})" if found else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of RecBole's pickle protocol before it refuses it
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        return load_foreign(path)
    return content if isinstance(content, dict) else {}


def load_weights(model: nn.Module, content: Mapping[str, Any], path: Path, config: Config, items: str) -> None:
    """Put a checkpoint's weights into ``model``.

    Args:
        items: digest of the data set's item ids, see :func:`model.run.items_digest`.

    Raises:
        CheckpointMismatch: it was made for another data set, or for other shapes; both are named.
    """
    section = content.get("rectuner") or {}
    made_with = content.get("config") or {}
    made_for = section.get("dataset", made_with.get("dataset"))
    if made_for is not None and (made_for != config.dataset or section.get("items", items) != items):
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
            raise CheckpointMismatch(
                f"{path}: {name} is {theirs or 'missing'} in the checkpoint"
                f"{f' (data set {made_for!r})' if made_for else ''} and {ours or 'unknown'} in this run "
                f"(data set {config.dataset!r}). {_cause(name, made_with, config)}"
            )
    model.load_state_dict(found)


def _cause(tensor: str, made_with: Mapping[str, Any], config: Config) -> str:
    """Which keys the shapes come from, with both values where the checkpoint knows its own."""
    keys = next(keys for part, keys in _SHAPED_BY.items() if part in tensor)
    both = [(key, made_with[key], config[key]) for key in keys if key in made_with and key in config]
    differing = [f"{key} is {theirs!r} there and {ours!r} here" for key, theirs, ours in both if theirs != ours]
    if differing:
        return f"{'; '.join(differing)}: set it as it was in pretraining, or pretrain again."
    if len(both) == len(keys):
        return "The configurations agree, so the files of the data sets differ: pretrain on this data."
    return f"Check {' and '.join(keys)}, and that both runs read the same data."
