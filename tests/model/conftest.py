"""Data sets and configurations that the model tests share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.config import Config, load_config
from model.data import SequentialDataset, load_dataset, synthetic

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Golden values were computed on one thread, and small tensors are fastest so."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Any]:
    """Reads a golden file by name."""
    return lambda name: json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def tiny_config(golden: Callable[[str], Any]) -> Callable[..., Config]:
    """A configuration of the golden data set ``tiny`` with RecBole's base settings and some changes."""
    base = golden("dataset_tiny")["base_overrides"]

    def make(dataset: str = "tiny", **changes: Any) -> Config:
        return load_config("S3Rec", dataset, config_dict={**base, "data_path": str(GOLDEN), **changes})

    return make


@pytest.fixture(scope="session")
def synthetic_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data set ``synthetic``."""
    folder = tmp_path_factory.mktemp("data")
    synthetic.write(folder, "synthetic", users=80, items=30, events=10)
    return folder


@pytest.fixture(scope="session")
def small_config(synthetic_folder: Path) -> Callable[..., Config]:
    """A configuration of a very small S3Rec on ``synthetic``."""

    def make(**changes: Any) -> Config:
        settings = {
            "data_path": str(synthetic_folder),
            "hidden_size": 16,
            "inner_size": 32,
            "n_layers": 1,
            "MAX_ITEM_LIST_LENGTH": 10,
            "train_batch_size": 128,
            "learning_rate": 0.005,
            "epochs": 3,
            "pretrain_epochs": 2,
        }
        return load_config("S3Rec", "synthetic", config_dict={**settings, **changes})

    return make


@pytest.fixture(scope="session")
def small_dataset(small_config: Callable[..., Config]) -> SequentialDataset:
    """The data set of :func:`small_config`."""
    return load_dataset(small_config())
