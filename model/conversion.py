"""Checkpoints that hold pickled objects, written again as files that any reader may load without trusting them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from model.checkpoint import at_best_epoch, load_checkpoint, save_checkpoint
from model.errors import CheckpointError
from model.foreign import Inert

_PLAIN = (bool, int, float, str, type(None), Tensor)


@dataclass(frozen=True)
class Converted:
    """What was carried over, and which parts were not, because they hold objects.

    Attributes:
        best_epoch: of a file that a run goes on from: the epoch (from 1) of the weights that were passed on, which is
            not the run's last one; None for any other file.
    """

    model: str | None
    dataset: str | None
    tensors: int
    numbers: int
    dropped: tuple[str, ...]
    best_epoch: int | None = None


def convert_checkpoint(source: Path, target: Path, *, overwrite: bool = False) -> Converted:
    """Write ``source`` as a file that ``torch.load(weights_only=True)`` reads, here and in RecBole.

    Weights, optimizer and epoch stay; of the configuration its plain values. Of a file that a run goes on from, what is
    passed on are the best epoch's weights, to which its best score belongs. Objects are not loaded on the way, see
    :mod:`model.foreign`.

    Raises:
        CheckpointError: the source is no checkpoint, or the target exists and is not to be overwritten.
        OSError: the target can't be written; nothing is left of it then.
    """
    loaded = load_checkpoint(source)
    content = at_best_epoch(loaded)
    if target.exists() and not overwrite:
        raise CheckpointError(f"{target}: exists already. Choose another name, or overwrite it (--force).")
    kept: dict[str, Any] = {key: value for key, value in content.items() if not _holds_objects(value)}
    dropped = tuple(sorted(set(content) - set(kept)))
    # RecBole asks for these keys.
    asked: dict[str, Any] = {"config": {}, "epoch": 0, "cur_step": 0, "best_valid_score": None, "other_parameter": {}}
    kept = asked | kept
    save_checkpoint(target, kept)
    weights: Mapping[str, Tensor] = kept["state_dict"]
    config: Mapping[str, Any] = kept["config"]
    return Converted(
        model=config.get("model"),
        dataset=config.get("dataset"),
        tensors=len(weights),
        numbers=sum(value.numel() for value in weights.values()),
        dropped=dropped,
        best_epoch=None if content["state_dict"] is loaded["state_dict"] else content["epoch"] + 1,
    )


def _holds_objects(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(not isinstance(key, str | int) or _holds_objects(inner) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return any(map(_holds_objects, value))
    return isinstance(value, Inert) or not isinstance(value, _PLAIN)
