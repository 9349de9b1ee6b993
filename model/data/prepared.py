"""Prepared data sets: read and split once per machine, then mapped into the memory of every process that wants one.

A file holds the tensors of one data set under one data configuration; its name is a hash of both, so that a changed
file, or a changed key that shapes the data, is another entry. Processes that map the same file share its memory. Its
checksums are looked at when it is opened: what is not as it was written is prepared again.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from model.config import Config
from model.data.dataset import SequentialDataset, load_dataset
from model.data.fields import Ragged
from model.data.reading import find_files, fingerprint
from model.data.sequences import Samples
from model.tensor_files import damaged_part, save_whole

_log = logging.getLogger(__name__)

# What the files hold; a program that reads, makes or writes them otherwise has another number.
FORMAT = 2
# How often a process that waits for another one's preparation looks whether it should go on waiting.
_LOCK_SECONDS = 0.5
_SPLITS = ("train", "valid", "test")


def load_prepared(
    config: Config, folder: Path, bound: float, check: Callable[[], None] = lambda: None
) -> SequentialDataset:
    """The data set that ``config`` names, bit for bit what :func:`load_dataset` gives.

    The first process that asks prepares it while others wait; after that it is mapped. What can't be read is prepared
    again. Where nothing can be written the data set is prepared for this process only.

    Args:
        folder: where prepared data sets are.
        bound: bytes that they may take; the least recently used ones go first, and a data set that is larger is
            not kept.
        check: called between two steps, and while another process prepares the data; may raise to interrupt.

    Raises:
        DataError: see :func:`load_dataset`.
    """
    files = find_files(config)
    key = fingerprint(files, config)
    path = folder / f"{config.dataset}-{key[:24]}-{FORMAT}.pt"
    item_file = files.folder / f"{config.dataset}.item"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f".{path.name}.lock", check):
            found = _read(path, key, item_file)
            if found is None:
                for left in folder.glob(f".{path.name}-*.tmp"):  # of a process that was killed while it wrote
                    left.unlink(missing_ok=True)
                save_whole(path, _content(load_dataset(config, check)))
                found = _read(path, key, item_file)
        with contextlib.suppress(FileNotFoundError):  # evicted by somebody else
            os.utime(path)
        _evict(folder, bound)
    except (OSError, NotImplementedError) as error:
        _log.warning("%s: prepared data can't be kept here (%s); every process prepares its own.", folder, error)
        found = None
    return found if found is not None else load_dataset(config, check)


@contextlib.contextmanager
def _locked(path: Path, check: Callable[[], None]) -> Iterator[None]:
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
            break
        except Timeout:
            check()
    try:
        yield
    finally:
        lock.release()


def _read(path: Path, key: str, item_file: Path) -> SequentialDataset | None:
    """The entry, None when there is none or it is not what it should be."""
    if not path.is_file():
        return None
    try:
        if (part := damaged_part(path)) is not None:
            raise ValueError(f"{part} is not what was written")
        content = torch.load(path, mmap=True, weights_only=True)
        if content["fingerprint"] != key:
            raise ValueError("it is of another data set")
        return _dataset(content, item_file)
    except Exception as error:  # noqa: BLE001 - logged; there are a dozen for what a damaged file can have wrong
        _log.warning("%s: can't be used (%s) and is prepared again.", path, error)
        path.unlink(missing_ok=True)
        return None


def _content(dataset: SequentialDataset) -> dict[str, Any]:
    return {
        "fingerprint": dataset.fingerprint,
        "name": dataset.name,
        "user_num": dataset.user_num,
        "item_num": dataset.item_num,
        "tokens": dict(dataset.tokens),
        # The splits are windows into the same events, which torch writes once.
        "splits": {split: dict(vars(getattr(dataset, split))) for split in _SPLITS},
        "item_features": _plain(dataset.item_features),
        "user_features": _plain(dataset.user_features),
    }


def _plain(features: Mapping[str, Tensor | Ragged]) -> dict[str, Any]:
    return {name: dict(vars(value)) if isinstance(value, Ragged) else value for name, value in features.items()}


def _dataset(content: Mapping[str, Any], item_file: Path) -> SequentialDataset:
    splits = {split: Samples(**content["splits"][split]) for split in _SPLITS}
    return SequentialDataset(
        name=content["name"],
        fingerprint=content["fingerprint"],
        user_num=content["user_num"],
        item_num=content["item_num"],
        tokens=content["tokens"],
        train=splits["train"],
        valid=splits["valid"],
        test=splits["test"],
        item_features=_features(content["item_features"]),
        user_features=_features(content["user_features"]),
        item_file=item_file,
    )


def _features(content: Mapping[str, Any]) -> dict[str, Tensor | Ragged]:
    return {name: Ragged(**value) if isinstance(value, dict) else value for name, value in content.items()}


def _evict(folder: Path, bound: float) -> None:
    """Delete entries until they fit; who has one mapped keeps it until he lets go."""
    entries = sorted(_entries(folder), key=lambda entry: entry[0])
    excess = sum(size for _, size, _ in entries) - bound
    for _, size, path in entries:
        if excess <= 0:
            break
        path.unlink(missing_ok=True)
        (folder / f".{path.name}.lock").unlink(missing_ok=True)
        excess -= size


def _entries(folder: Path) -> Iterable[tuple[float, int, Path]]:
    for path in folder.glob("*.pt"):
        with contextlib.suppress(OSError):  # somebody else deleted it
            status = path.stat()
            yield status.st_mtime, status.st_size, path
