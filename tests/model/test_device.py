"""The device is what the configuration and the machine allow, and the log says which it is."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch

from model.config import Config
from model.data import SequentialDataset
from model.device import choose_device, describe
from model.registry import get_model
from model.run import start_run

MakeConfig = Callable[..., Config]


def test_the_cpu_is_used_when_the_gpu_is_not_wanted(small_config: MakeConfig) -> None:
    assert choose_device(small_config(gpu_id="")).type == "cpu"
    assert choose_device(small_config(use_gpu=False)).type == "cpu"


def test_the_log_says_what_was_picked(
    small_config: MakeConfig, small_dataset: SequentialDataset, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="model"):
        start_run(get_model("S3Rec"), "pretrain", small_config(use_gpu=False), small_dataset)
    threads = torch.get_num_threads()
    assert f"pretrain trains on the CPU, {threads} thread" in caplog.text
    assert "products in float32" in caplog.text
    assert "products in bfloat16 (enable_amp)" in describe(small_config(use_gpu=False, enable_amp=True))
