"""The data set of a worker's trials: prepared once per machine, kept for all trials that need the same one."""

from __future__ import annotations

import json
from collections.abc import Callable

from model.config import Config
from model.data import SequentialDataset, load_dataset
from model.data.catalog import cache_root, locate
from model.data.prepared import load_prepared
from model.defaults import DATA

# Beside the fetched data sets; a name with a dot is no data set.
FOLDER = ".prepared"


class DatasetCache:
    """Keeps the last data set; studies go through trials of one data configuration in a row.

    Args:
        bound: bytes that prepared data sets may take on disk; 0: none are kept.
        check: called now and then while one is read; may raise to interrupt.
    """

    def __init__(self, bound: float, check: Callable[[], None] = lambda: None) -> None:
        self._bound, self._check = bound, check
        self._key: str | None = None
        self._dataset: SequentialDataset | None = None

    def load(self, config: Config) -> SequentialDataset:
        """The data set of ``config``; files that changed on disk since are read again."""
        key = _key(config)
        if self._dataset is None or key != self._key:
            self._dataset = None  # before the next one is read: two at once may not fit
            self._dataset, self._key = self._read(config), key
        return self._dataset

    def _read(self, config: Config) -> SequentialDataset:
        return self._prepared(config) if self._bound else load_dataset(config, self._check)

    def _prepared(self, config: Config) -> SequentialDataset:
        return load_prepared(config, cache_root() / FOLDER, self._bound, self._check)


def _key(config: Config) -> str:
    folder = locate(config.dataset, config["data_path"])
    files = sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in folder.iterdir())
    shaping = {parameter.name: config[parameter.name] for parameter in DATA}
    identity = [str(folder), files, shaping, config["eval_args"], config["seed"]]
    return json.dumps(identity, sort_keys=True, default=str)
