"""Seconds of SURGE per training epoch and per full ranking, and what the factoring of the ranking gains.

    python -m benchmarks.surge [--dataset ml-100k] [--threads 2] [--batches 12] [--users 6] [--plain-items 128]

Epochs are extrapolated from a few batches of random rows, rankings from a few users; both are stated with the numbers.
"Plain" is the same network asked for one candidate at a time: every pair of user and item computes its own graph and
fusion, nothing is shared. Factored and plain scores are compared before they are timed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from model.config import load_config
from model.data import SequentialDataset, load_dataset
from model.surge.objectives import TrainObjective
from model.surge.recommender import Surge, build
from model.training import epoch_order, make_optimizer

REDUCED = {"embedding_size": 32, "pool_length": 10, "MAX_ITEM_LIST_LENGTH": 20, "att_fcn_layer_sizes": [40, 20]}
SHAPES: dict[str, dict[str, object]] = {"d = 64, m = 30, L = 50 (defaults)": {}, "d = 32, m = 10, L = 20": REDUCED}


@dataclass(frozen=True)
class Measured:
    """One row of the table; seconds, pairs in microseconds."""

    variant: str
    shape: str
    epoch: float
    ranking: float
    factored: float
    plain: float
    difference: float

    def __str__(self) -> str:
        cells = [
            f"`{self.variant}`",
            self.shape,
            f"{self.epoch:.0f} s",
            f"{self.ranking:.1f} s",
            f"{self.factored:.1f} µs",
            f"{self.plain:.0f} µs",
            f"{self.plain / self.factored:.1f}",
            f"{self.difference:.0e}",
        ]
        return f"| {' | '.join(cells)} |"


HEAD = (
    "| variant | shape | training epoch | full ranking | a pair, factored | a pair, plain | ratio | scores differ by |",
    "|---|---|---|---|---|---|---|---|",
)


def main() -> None:
    """Measure both variants at both sizes and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data-path", default="dataset/")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=int, default=12, help="training batches that are timed")
    parser.add_argument("--users", type=int, default=6, help="users that are ranked for")
    parser.add_argument("--plain-items", type=int, default=128, help="items that the plain form ranks")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cases = [(variant, title) for title in SHAPES for variant in ("released", "paper")]
    measured = []
    for place, (variant, title) in enumerate(cases, start=1):
        sys.stderr.write(f"{place}/{len(cases)}: {variant}, {title}\n")
        measured.append(measure(variant, title, arguments))
    config = load_config("SURGE", arguments.dataset, config_dict={"data_path": arguments.data_path})
    dataset = load_dataset(config)
    print("\n".join((*HEAD, *map(str, measured))))
    print(
        f"\n{arguments.dataset}: {len(dataset.train):,} training samples, {len(dataset.valid)} users x "
        f"{dataset.item_num - 1:,} items. torch {torch.__version__}, {arguments.threads} threads. Epochs are "
        f"extrapolated from {arguments.batches} batches, rankings from {arguments.users} users, plain pairs from "
        f"{arguments.plain_items} items each; medians."
    )


def measure(variant: str, title: str, arguments: argparse.Namespace) -> Measured:
    """Time one variant at one size."""
    fixed = {"data_path": arguments.data_path, "use_gpu": False, "surge_variant": variant}
    config = load_config("SURGE", arguments.dataset, config_dict={**fixed, **SHAPES[title]})
    dataset = load_dataset(config)
    model = build(config, dataset)
    objective = TrainObjective(model, dataset, config)
    optimizer = make_optimizer(model.parameters(), config)
    positives = config["train_batch_size"] // config["train_neg_sample_args"]["sample_num"]
    batches = torch.split(epoch_order(config["seed"], 0, len(dataset.train)), positives)
    objective.begin_epoch(0)

    def step(number: int) -> None:
        optimizer.zero_grad()
        objective.backward(batches[number])
        optimizer.step()

    model.train()
    epoch = timed(step, arguments.batches) * len(batches)
    factored, plain, difference = rank(model.eval(), dataset, arguments)
    pairs = len(dataset.valid) * (dataset.item_num - 1)
    return Measured(variant, title, epoch, factored * pairs, factored * 1e6, plain * 1e6, difference)


@torch.inference_mode()
def rank(model: Surge, dataset: SequentialDataset, arguments: argparse.Namespace) -> tuple[float, float, float]:
    """Seconds of a pair of user and item, factored and plain, and the largest difference of their scores."""
    samples = dataset.valid
    rows = torch.arange(0, len(samples), max(1, len(samples) // arguments.users))[: arguments.users]
    items = torch.arange(1, min(arguments.plain_items, dataset.item_num - 1) + 1)

    def factored(number: int) -> torch.Tensor:
        return model.score_all(*history(number))[0]

    def plain(number: int) -> torch.Tensor:
        histories, lengths = history(number)
        scores = []
        for part in torch.split(items, 32):
            context = model.network.context(histories.expand(len(part), -1), lengths.expand(len(part)))
            scores.append(model.network.score(context, part[:, None])[:, 0])
        return torch.cat(scores)

    def history(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        row = rows[number % len(rows)][None]
        lengths = samples.lengths(row)
        return samples.padded(row, int(lengths.max())), lengths

    difference = max((factored(n)[items] - plain(n)).abs().max().item() for n in range(len(rows)))
    shared = timed(factored, arguments.users) / (dataset.item_num - 1)
    return shared, timed(plain, arguments.users) / len(items), difference


def timed(work: Callable[[int], object], times: int) -> float:
    """Median seconds of ``work(0) ... work(times - 1)`` after a warm-up."""
    for number in range(2):
        work(number)
    taken = []
    for number in range(times):
        begun = time.perf_counter()
        work(number)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
