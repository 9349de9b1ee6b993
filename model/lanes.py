"""Several threads that work on one batch.

Threads inside every operation pay only for large operations, and ours are small on purpose. So each thread takes
micro-batches of its own, with operations that use one thread.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


class Lanes(Generic[Model]):
    """Adds up the gradients of a batch's parts, on as many threads as torch is set to use.

    Each lane has a copy of the model that shares its weights and has gradients of its own. Which part goes to which
    lane, and the order of the sums, depend on nothing but the numbers of parts and threads, so the bits do neither.
    """

    def __init__(self, model: Model) -> None:
        self._models = [model]
        self._pool: ThreadPoolExecutor | None = None

    def backward(self, loss_of: Callable[[Model, int], Tensor], parts: int) -> Tensor:
        """Add the gradients of ``loss_of(model, part)`` for every part to the model's; the detached sum of losses."""
        model = self._models[0]
        weights = list(model.parameters())
        threads = 1 if weights[0].is_cuda else min(torch.get_num_threads(), parts)
        if threads < 2:
            return _run(model, loss_of, range(parts))
        models = self._copies(threads)
        with _one_thread_per_operation():
            pool = self._pool = self._pool or ThreadPoolExecutor(threads)
            futures = [pool.submit(_run, models[lane], loss_of, range(lane, parts, threads)) for lane in range(threads)]
            wait(futures)  # all of them, also when one raises: the others work with the same weights
            losses = [future.result() for future in futures]
        for copied in models[1:]:
            for weight, twin in zip(weights, copied.parameters(), strict=True):
                if twin.grad is not None:
                    weight.grad = twin.grad if weight.grad is None else weight.grad.add_(twin.grad)
                    twin.grad = None
        return torch.stack(losses).sum()

    def _copies(self, number: int) -> list[Model]:
        while len(self._models) < number:
            self._models.append(copy.deepcopy(self._models[0]))
        for copied in self._models[1:]:
            for weight, twin in zip(self._models[0].parameters(), copied.parameters(), strict=True):
                twin.data = weight.data
        return self._models[:number]


def _run(model: Model, loss_of: Callable[[Model, int], Tensor], parts: range) -> Tensor:
    weight = next(model.parameters())
    total = torch.zeros((), dtype=weight.dtype, device=weight.device)
    for part in parts:
        loss = loss_of(model, part)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    return total


@contextmanager
def _one_thread_per_operation() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
