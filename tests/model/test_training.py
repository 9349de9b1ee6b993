"""The training loop: order, optimizers, clipping, early stopping, rounding, what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from model.config import Config
from model.data import SequentialDataset
from model.errors import ConfigError, NonFiniteLoss
from model.recommender import Objective, Reduction
from model.s3rec.network import build
from model.s3rec.objectives import FinetuneObjective, PretrainObjective
from model.training import EarlyStopping, EpochLoss, epoch_order, make_optimizer, train_epoch

MakeConfig = Callable[..., Config]


class Quadratic(Objective):
    """Half the squared distance of a weight from the mean row number; notes the batches that it sees."""

    reduction: Reduction = "mean"

    def __init__(self, start: float = 0.0, reduction: Reduction = "mean") -> None:
        self.reduction = reduction
        self.weight = nn.Parameter(torch.tensor([start]))
        self.batches: list[list[int]] = []
        self.precisions: set[str] = set()

    def begin_epoch(self, epoch: int) -> None:
        self.batches = []

    def seen(self) -> list[int]:
        return [row for batch in self.batches for row in batch]

    def backward(self, rows: Tensor) -> Tensor:
        self.batches.append(rows.tolist())
        self.precisions.add(torch.get_float32_matmul_precision())
        loss = ((self.weight - rows.double().mean()) ** 2).sum() / 2
        loss.backward()
        return loss.detach()


def train(config: Config, objective: Quadratic, epochs: int = 1, number: int = 10) -> list[EpochLoss]:
    optimizer = make_optimizer([objective.weight], config)
    return [train_epoch(objective, optimizer, epoch, number, config) for epoch in range(epochs)]


def test_an_epoch_sees_every_sample_once_in_the_order_of_its_number(small_config: MakeConfig) -> None:
    objective, config = Quadratic(), small_config(train_batch_size=4)
    train(config, objective)
    assert [len(batch) for batch in objective.batches] == [4, 4, 2]
    assert objective.seen() == epoch_order(config["seed"], 0, 10).tolist()
    assert sorted(objective.seen()) == list(range(10))


def test_epochs_have_orders_of_their_own_that_do_not_depend_on_what_was_asked_before() -> None:
    third = epoch_order(7, 2, 50)
    first = epoch_order(7, 0, 50)
    assert not torch.equal(first, third)
    assert torch.equal(epoch_order(7, 2, 50), third)


def test_a_run_can_be_resumed_after_thousands_of_epochs() -> None:
    # The order of an epoch follows from those before it, which a new process has not seen.
    order = epoch_order(11, 3000, 5)
    assert sorted(order.tolist()) == list(range(5))
    assert torch.equal(epoch_order(11, 2999, 5), epoch_order(11, 2999, 5))
    assert torch.equal(epoch_order(11, 3000, 5), order)


def test_without_shuffling_samples_come_as_they_are(small_config: MakeConfig) -> None:
    objective = Quadratic()
    train(small_config(train_batch_size=4, shuffle=False), objective)
    assert objective.seen() == list(range(10))


def test_negatives_count_as_samples_of_a_batch(small_config: MakeConfig) -> None:
    objective = Quadratic()
    sampling = {"distribution": "uniform", "sample_num": 3}
    train(small_config(train_batch_size=7, loss_type="BPR", train_neg_sample_args=sampling), objective)
    assert [len(batch) for batch in objective.batches] == [2, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("learner", "kind"),
    [
        ("adam", torch.optim.Adam),
        ("adamw", torch.optim.AdamW),
        ("sgd", torch.optim.SGD),
        ("adagrad", torch.optim.Adagrad),
        ("rmsprop", torch.optim.RMSprop),
    ],
)
def test_learners(small_config: MakeConfig, learner: str, kind: type[torch.optim.Optimizer]) -> None:
    config = small_config(learner=learner, learning_rate=0.25, weight_decay=0.5)
    optimizer = make_optimizer([nn.Parameter(torch.ones(1))], config)
    assert type(optimizer) is kind
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.25, 0.5)


def test_an_unknown_learner_is_refused_with_the_known_ones(small_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"learner.*'adam'.*'rmsprop'"):
        small_config(learner="sparse_adam")


def test_gradients_are_clipped(small_config: MakeConfig) -> None:
    objective = Quadratic(start=1000.0)
    config = small_config(learner="sgd", learning_rate=1.0, train_batch_size=100, clip_grad_norm={"max_norm": 0.5})
    train(config, objective)
    assert objective.weight.item() == pytest.approx(999.5)


def test_the_loss_of_an_epoch_is_the_sum_over_batches(small_config: MakeConfig) -> None:
    config = small_config(learner="sgd", learning_rate=0.0, train_batch_size=5, shuffle=False)
    (loss,) = train(config, Quadratic())
    assert loss.total == pytest.approx((2.0**2 + 7.0**2) / 2)


@pytest.mark.parametrize(
    # Rows 0 to 6 in batches of 5 and 2: losses 2² / 2 and 5.5² / 2.
    ("reduction", "mean"),
    [("mean", (5 * 2.0**2 + 2 * 5.5**2) / 2 / 7), ("sum", (2.0**2 + 5.5**2) / 2 / 7)],
)
def test_the_mean_per_sample_knows_the_size_of_each_batch(
    small_config: MakeConfig, reduction: Reduction, mean: float
) -> None:
    config = small_config(learner="sgd", learning_rate=0.0, train_batch_size=5, shuffle=False)
    (loss,) = train(config, Quadratic(reduction=reduction), number=7)
    assert loss.mean == pytest.approx(mean)
    assert loss.total == pytest.approx((2.0**2 + 5.5**2) / 2)


def test_progress_is_on_the_scale_of_the_epochs_mean(small_config: MakeConfig) -> None:
    config = small_config(learner="sgd", learning_rate=0.0, train_batch_size=5, shuffle=False)
    objective, seen = Quadratic(), []
    optimizer = make_optimizer([objective.weight], config)
    loss = train_epoch(objective, optimizer, 0, 7, config, lambda _share, so_far: seen.append(so_far))
    assert seen == [pytest.approx(2.0**2 / 2), loss.mean]


def test_a_loss_that_is_no_number_ends_training_and_says_where(small_config: MakeConfig) -> None:
    config = small_config(learner="sgd", learning_rate=1e30, train_batch_size=5)
    with pytest.raises(NonFiniteLoss, match=r"epoch 1, batch 2.*learning_rate"):
        train(config, Quadratic())


def test_progress_reaches_one_and_may_interrupt(small_config: MakeConfig) -> None:
    config, shares = small_config(train_batch_size=3), []
    objective = Quadratic()
    optimizer = make_optimizer([objective.weight], config)
    train_epoch(objective, optimizer, 0, 10, config, lambda share, loss: shares.append(share))
    assert shares == [0.25, 0.5, 0.75, 1.0]

    def stop(share: float, loss: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_epoch(objective, optimizer, 1, 10, config, stop)
    assert len(objective.batches) == 1


@pytest.mark.parametrize(("wanted", "precision"), [(False, "highest"), (True, "medium")])
def test_products_are_rounded_when_asked_for_and_only_in_training(
    small_config: MakeConfig, wanted: bool, precision: str
) -> None:
    objective = Quadratic()
    train(small_config(enable_amp=wanted), objective)
    assert objective.precisions == {precision}
    assert torch.get_float32_matmul_precision() == "highest"


def test_early_stopping_counts_ties_as_improvements() -> None:
    stopping = EarlyStopping(patience=1, bigger=True)
    assert [stopping.update(score) for score in (0.1, 0.1, 0.05, 0.2, 0.1)] == [True, True, False, True, False]
    assert (stopping.best, stopping.stop) == (0.2, False)
    stopping.update(0.1)
    assert stopping.stop


def test_early_stopping_for_metrics_that_should_be_small() -> None:
    stopping = EarlyStopping(patience=0, bigger=False)
    assert [stopping.update(score) for score in (0.5, 0.4, 0.4, 0.6)] == [True, True, True, False]
    assert stopping.stop


PROGRAM = """
import sys, torch
from model.config import load_config
from model.data import load_dataset
from model.s3rec.network import build
from model.s3rec.objectives import FinetuneObjective, PretrainObjective
from model.training import make_optimizer, train_epoch
torch.set_num_threads(int(sys.argv[2]))
torch.randn(int(sys.argv[3]))  # whatever happened before must not matter
config = load_config("S3Rec", "synthetic", config_dict={"data_path": sys.argv[1], "train_batch_size": 256,
    "hidden_size": 16, "inner_size": 32, "MAX_ITEM_LIST_LENGTH": 10})
dataset = load_dataset(config)
model = build(config, dataset)
for kind in (PretrainObjective, FinetuneObjective):
    objective = kind(model, dataset, config)
    objective.tokens = 200
    train_epoch(objective, make_optimizer(model.parameters(), config), 3, len(dataset.train), config)
print(sum(hash(value.numpy().tobytes()) for value in model.state_dict().values()))
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_bits_in_every_process(
    small_dataset: SequentialDataset, small_config: MakeConfig, threads: int
) -> None:
    folder = small_config()["data_path"]
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, folder, str(threads), str(drawn)],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": "0", "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for drawn in (1, 1000)
    ]
    assert outputs[0] == outputs[1] != ""


@pytest.mark.parametrize("kind", [PretrainObjective, FinetuneObjective])
def test_more_threads_give_the_same_sums(
    kind: type[PretrainObjective] | type[FinetuneObjective], small_config: MakeConfig, small_dataset: SequentialDataset
) -> None:
    config, sums = small_config(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        model = build(config, small_dataset)
        objective = kind(model, small_dataset, config)
        objective.tokens = 100
        objective.begin_epoch(0)
        loss = objective.backward(torch.arange(128))
        gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        sums.append((loss, gradients))
    assert torch.allclose(sums[0][0], sums[1][0], rtol=1e-6)
    assert torch.allclose(sums[0][1], sums[1][1], rtol=1e-4, atol=1e-4)
