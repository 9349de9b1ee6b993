"""Checkpoints: written whole or not at all, checked when they are read, which runs nothing that they contain.

The file is RecBole's dictionary (``state_dict``, ``optimizer``, ``epoch``, ``config``, ``other_parameter``, ...) with
one section more, ``rectuner``. Everything in it is a tensor, number, text or container, so torch reads it with
``weights_only=True``. RecBole's own files also hold Python objects; these are read as inert stand-ins.
"""

from __future__ import annotations

import errno
import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from model.errors import CheckpointError, CheckpointMismatch, CheckpointNotFound, CheckpointUnreadable
from model.foreign import load_foreign
from model.tensor_files import damaged_part, save_whole

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

# Whole numbers that decide a tensor's shape, and so whether a checkpoint fits a run.
SHAPING = ("MAX_ITEM_LIST_LENGTH", "hidden_size", "n_layers", "inner_size")


def save_checkpoint(path: Path, content: Mapping[str, Any], announce: Callable[[str], None] | None = None) -> str:
    """Write a checkpoint so that readers see the old file or the new one, never a part.

    Args:
        announce: called with the file's SHA-256 before the file appears; if it raises, the file does not.

    Returns:
        The file's SHA-256.

    Raises:
        OSError: the folder can't be written, or the disk is full; an old file is untouched.
    """
    return save_whole(path, _on_cpu(dict(content)), announce)


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
    """Read a checkpoint of Rectuner or RecBole onto the CPU, if everything in it is as it was written.

    Raises:
        CheckpointNotFound: there is no such file.
        CheckpointUnreadable: it can't be opened or read just now.
        CheckpointError: it is no checkpoint, or damaged.
    """
    try:
        with path.open("rb") as file:
            content = _checked(file, path)
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointNotFound(
            f"{path}: there is no checkpoint{_others(path.parent)}. "
            "Pretrain first (train_stage: pretrain), or correct pre_model_path."
        ) from None
    except IsADirectoryError:
        raise CheckpointError(f"{path}: is a folder{_others(path)}. Name a file.") from None
    except OSError as error:
        # A disk that can't read what it has written is damage; the rest may be over in a moment.
        kind = CheckpointError if error.errno == errno.EIO else CheckpointUnreadable
        raise kind(f"{path}: can't be read ({error.strerror or error}).") from error
    state = content.get("state_dict")
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise CheckpointError(f"{path}: has no state_dict of tensors; it is no checkpoint of a recommender.")
    if not isinstance(content.get("rectuner", {}), Mapping):
        raise CheckpointError(f"{path}: the section rectuner is no mapping; it is no checkpoint that Rectuner wrote.")
    if not isinstance(content.get("config", {}), Mapping):
        content["config"] = {}
    return content


def at_best_epoch(content: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint with the weights of the best epoch as its weights; ``epoch`` and the best score agree with them.

    A run that has not ended keeps these beside the last epoch's, which it goes on from. What is returned is no state to
    go on from: the optimizer keeps its settings and forgets its moments, which are a later epoch's. Content whose last
    epoch is its best, or was not validated, is returned as it is.
    """
    section = content.get("rectuner") or {}
    best = section.get("best_weights")
    if best is None:
        return dict(content)
    return {
        **content,
        "epoch": section["best_epoch"] - 1,
        "cur_step": 0,
        "state_dict": best,
        "optimizer": {**(content.get("optimizer") or {}), "state": {}},
        "rectuner": {**section, "resumable": False, "best_weights": None},
    }


def _others(folder: Path) -> str:
    """The checkpoints that are in the folder, the newest few."""
    found = sorted(folder.glob("*.pth"), key=lambda other: other.stat().st_mtime, reverse=True)
    return f" (in that folder: {', '.join(other.name for other in found[:5])})" if found else ""


# How a file begins that torch wrote before its format of 2020, which has no checksums.
_EARLIER = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)


def _checked(file: IO[bytes], path: Path) -> dict[str, Any]:
    """Content of an open file whose checksums agree.

    Raises:
        CheckpointError: they don't, or it is something else.
        OSError: it can't be read.
    """
    beginning = file.read(64)
    if not beginning.startswith(_EARLIER):
        _check_parts(file, path, beginning)
    file.seek(0)
    try:
        content = _read(file, path)
    except (CheckpointError, OSError, MemoryError):
        raise
    except Exception as error:  # a file of somebody else's may raise whatever it likes
        raise CheckpointError(
            f"{path}: is a file of torch's, but no checkpoint that can be read ({type(error).__name__}: {error})."
        ) from error
    return content if isinstance(content, dict) else {}


def _check_parts(file: IO[bytes], path: Path, beginning: bytes) -> None:
    again = "Take another copy of it, or make it again."
    try:
        whole = zipfile.is_zipfile(file)
        part = damaged_part(file) if whole else None
    except OSError:
        raise
    except Exception as error:  # zipfile has a dozen for what a list of parts can have wrong
        raise CheckpointError(f"{path}: is damaged ({error}). {again}") from error
    if part is not None:
        raise CheckpointError(f"{path}: is damaged: {part} is not what was written. {again}")
    if whole:
        return
    if not beginning:
        raise CheckpointError(f"{path}: is empty. {again}")
    if beginning.startswith(b"PK"):
        raise CheckpointError(f"{path}: is cut off or damaged: its end, which says what is in it, is missing. {again}")
    what = "a text" if beginning.isascii() else "something else"
    raise CheckpointError(
        f"{path}: is no checkpoint that torch.save wrote, but {what} that begins with {beginning[:20]!r}."
    )


def _read(file: IO[bytes], path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of RecBole's pickle protocol before it refuses it
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        file.seek(0)
        return load_foreign(file, path)


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


def check_made_for(path: Path, config: Config) -> None:
    """Check what can be said before the data set is read of a file whose weights a run is to begin from.

    Raises:
        CheckpointNotFound, CheckpointError: there is no such file, or it is no checkpoint.
        CheckpointMismatch: it was made for another data set, or for other shapes.
    """
    content = load_checkpoint(path)
    made_with = content.get("config") or {}
    made_for = (content.get("rectuner") or {}).get("dataset", made_with.get("dataset"))
    if made_for is not None and made_for != config.dataset:
        raise CheckpointMismatch(f"{path}: was made for data set {made_for!r}, this run is for {config.dataset!r}.")
    parts = {part for part in _SHAPED_BY if part and any(part in name for name in content["state_dict"])}
    for part in sorted(parts):
        for key in _SHAPED_BY[part]:
            theirs, ours = made_with.get(key), config.get(key)
            if key in SHAPING and theirs is not None and ours is not None and theirs != ours:
                raise CheckpointMismatch(f"{path}: does not fit, for {key} is {theirs!r} there and {ours!r} here.")


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
