"""The training loop: the order of samples, the optimizer, one epoch, and when to stop.

Knows batches and losses, not models.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from model.errors import NonFiniteLoss
from model.memory import keep_freed_memory
from model.recommender import Objective

if TYPE_CHECKING:
    from model.config import Config

# Called after each batch (on a GPU: after some) with the share of the epoch that is done and the mean loss per sample
# so far. May raise to interrupt.
Progress = Callable[[float, float], None]

# Batches on a GPU between two looks at the loss.
_BATCHES_UNREAD = 16


@dataclass(frozen=True)
class EpochLoss:
    """The loss of one epoch on both scales.

    Attributes:
        total: the sum of the batches' losses, which is what RecBole reports; it depends on the size of the batches.
        mean: the mean per sample, which is what people are shown.
    """

    total: float
    mean: float


_OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
}


def make_optimizer(parameters: Iterable[nn.Parameter], config: Config) -> torch.optim.Optimizer:
    """The optimizer named by ``learner``, with torch's defaults for what RecBole does not set."""
    kind: Any = _OPTIMIZERS[config["learner"]]
    chosen = list(parameters)
    options = {"lr": config["learning_rate"], "weight_decay": config["weight_decay"]}
    if config["learner"] in ("adam", "adamw") and chosen[0].is_cuda:
        options["fused"] = True
    optimizer: torch.optim.Optimizer = kind(chosen, **options)
    return optimizer


def epoch_order(seed: int, epoch: int, number: int) -> Tensor:
    """The order of the training samples in epoch ``epoch`` (0-based), int64 [number].

    RecBole shuffles with one generator seeded with ``seed``, from which torch's data loader draws three times an
    epoch. The order is therefore a function of the epoch, found by replaying those draws.
    """
    generator = torch.Generator()
    generator.set_state(_state_before(seed, epoch, number))
    return _draw_order(generator, number)


# Where the generator stood at the beginning of the last epochs, by (seed, number of samples, epoch).
_states: OrderedDict[tuple[int, int, int], Tensor] = OrderedDict()
_STATES_KEPT = 64


def _state_before(seed: int, epoch: int, number: int) -> Tensor:
    """The generator's state before ``epoch``: from the epoch before if it is known, else replayed from the first."""
    if (seed, number, epoch) not in _states:
        generator = torch.Generator().manual_seed(seed)
        known = _states.get((seed, number, epoch - 1))
        if known is not None:
            generator.set_state(known)
        for _ in range(epoch if known is None else 1):
            _draw_order(generator, number)
        _states[seed, number, epoch] = generator.get_state()
        while len(_states) > _STATES_KEPT:
            _states.popitem(last=False)
    return _states[seed, number, epoch]


def _draw_order(generator: torch.Generator, number: int) -> Tensor:
    torch.empty((), dtype=torch.int64).random_(generator=generator)  # the loader's seed for its workers
    order = torch.randperm(number, generator=generator)
    torch.randperm(number, generator=generator)  # the sampler's rest of a last incomplete round, always empty
    return order


def train_epoch(
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    number: int,
    config: Config,
    on_progress: Progress | None = None,
) -> EpochLoss:
    """Train one epoch.

    Args:
        epoch: 0-based.
        number: training samples.
        on_progress: see :data:`Progress`; whatever it raises ends the epoch, with the weights somewhere inside it.

    Raises:
        NonFiniteLoss: a loss became NaN or infinite.
    """
    seed = config["seed"]
    order = epoch_order(seed, epoch, number) if config["shuffle"] else torch.arange(number)
    order = order.to(optimizer.param_groups[0]["params"][0].device)
    objective.begin_epoch(epoch)
    batches = objective.arrange(order).split(_positives_per_batch(config))  # type: ignore[no-untyped-call]
    with _rounded_products(config["enable_amp"]):
        return train_batches(objective, optimizer, batches, epoch, config, on_progress)


@contextmanager
def _rounded_products(wanted: bool) -> Iterator[None]:
    """Let matrix products round their factors: to bfloat16 on a CPU that has units for it, to TF32 on a GPU."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if wanted else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def train_batches(
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[Tensor],
    epoch: int,
    config: Config,
    on_progress: Progress | None = None,
) -> EpochLoss:
    """One optimizer step for each of ``batches``; see :func:`train_epoch`, which chooses them."""
    keep_freed_memory()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    clip = config["clip_grad_norm"]
    means = objective.reduction == "mean"
    total: Tensor | None = None
    over_samples: Tensor | float = 0.0
    samples = 0
    for index, rows in enumerate(batches):
        optimizer.zero_grad(set_to_none=True)
        loss = objective.backward(rows)
        if clip:
            nn.utils.clip_grad_norm_(parameters, **clip)
        optimizer.step()
        total = loss if total is None else total + loss
        over_samples = over_samples + loss.double() * (len(rows) if means else 1)
        samples += len(rows)
        # Reading the loss makes the program wait for a GPU, so there it is looked at now and then.
        if not loss.is_cuda or index % _BATCHES_UNREAD == _BATCHES_UNREAD - 1 or index == len(batches) - 1:
            _check(float(total), epoch, index)
            if on_progress is not None:
                on_progress((index + 1) / len(batches), float(over_samples) / samples)
    return EpochLoss(float(total) if total is not None else 0.0, float(over_samples) / max(samples, 1))


def _positives_per_batch(config: Config) -> int:
    size: int = config["train_batch_size"]
    sampling = config["train_neg_sample_args"]
    # RecBole counts every negative as a sample of the batch.
    return max(size // sampling["sample_num"], 1) if sampling else size


def _check(loss: float, epoch: int, batch: int) -> None:
    if not math.isfinite(loss):
        raise NonFiniteLoss(
            f"The loss is {loss} in epoch {epoch + 1}, batch {batch + 1}. "
            "Lower learning_rate, or set clip_grad_norm, e.g. {max_norm: 1.0}."
        )


@dataclass
class EarlyStopping:
    """RecBole's rule: a score as good as the best one counts as an improvement.

    Attributes:
        patience: ``stopping_step``; training ends after one more validation without improvement than this.
        bigger: whether bigger scores are better.
        best: best score so far; None before the first validation.
        bad: validations without improvement in a row.
    """

    patience: int
    bigger: bool
    best: float | None = None
    bad: int = 0

    def update(self, score: float) -> bool:
        """Take a validation score; True when it is the best so far."""
        improved = self.best is None or (score >= self.best if self.bigger else score <= self.best)
        if improved:
            self.best, self.bad = score, 0
        else:
            self.bad += 1
        return improved

    @property
    def stop(self) -> bool:
        """Whether training should end."""
        return self.bad > self.patience
