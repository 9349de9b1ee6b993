"""What trains: which device, how many threads, how exact its products are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from model.config import Config


def choose_device(config: Config) -> torch.device:
    """The GPU that ``gpu_id`` names (its first, if several) when it is there and allowed, else the CPU."""
    first = str(config["gpu_id"] if config["gpu_id"] is not None else "").strip("()[] ").split(",")[0].strip()
    if not config["use_gpu"] or not first.isdecimal() or int(first) >= torch.cuda.device_count():
        return torch.device("cpu")
    return torch.device("cuda", int(first))


def describe(config: Config) -> str:
    """What was picked, in words for the log.

    The picks are the fastest that change results by rounding only: every thread takes micro-batches of its own on a
    CPU, Adam is one kernel on a GPU. Rounded products are faster and have to be asked for.
    """
    device = choose_device(config)
    if device.type == "cuda":
        where = f"{torch.cuda.get_device_name(device)} ({device}), fused optimizer"
    else:
        threads = torch.get_num_threads()
        where = f"the CPU, {threads} thread{'s' if threads > 1 else ''}"
    rounded = "TF32" if device.type == "cuda" else "bfloat16"
    return f"{where}, products in {rounded + ' (enable_amp)' if config['enable_amp'] else 'float32'}"
