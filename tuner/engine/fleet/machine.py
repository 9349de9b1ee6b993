"""What this machine has for workers: cores, and GPUs with slots."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence

import torch

from tuner.settings import Settings


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus(environment: Mapping[str, str], count: int) -> tuple[str, ...]:
    """The GPUs that workers may use, as ``CUDA_VISIBLE_DEVICES`` names them.

    Args:
        environment: of this process; what it hides from this process is hidden from its workers.
        count: GPUs that this process sees.
    """
    chosen = environment.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return tuple(map(str, range(count)))
    return tuple(name.strip() for name in chosen.split(",") if name.strip())[:count]


def own_gpus() -> tuple[str, ...]:
    """The GPUs of this machine that this process may use."""
    return gpus(os.environ, torch.cuda.device_count())


def workers_wanted(settings: Settings, available: Sequence[str]) -> int:
    """Workers of this machine: as set, else so many for each GPU, without GPUs one for each core."""
    if settings.workers is not None:
        return settings.workers
    return len(available) * settings.workers_per_gpu or cores()


def choose_gpu(available: Sequence[str], taken: Collection[str]) -> str | None:
    """The GPU with the fewest workers, the first of equal ones; None where there is no GPU.

    Args:
        taken: the GPUs of the workers that run, one entry for each worker.
    """
    loads = list(taken)
    return min(available, key=loads.count, default=None)
