"""Seconds of SURGE per training epoch and per full ranking, and what the factoring of the ranking gains.

    python benchmarks/surge.py [--dataset ml-100k] [--threads 2] [--batches 12] [--users 6] [--plain-items 128]

Epochs are extrapolated from a few batches of random rows, rankings from a few users; both are stated with the numbers.
"Plain" is the same network asked for one candidate at a time: every pair of user and item computes its own graph and
fusion, nothing is shared. Factored and plain scores are compared before they are timed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from model.config import load_config
from model.data import SequentialDataset, load_dataset
from model.surge import Surge
from model.surge.objectives import TrainObjective
from model.surge.recommender import build
from model.training import epoch_order, make_optimizer

REDUCED = {"embedding_size": 32, "pool_length": 10, "MAX_ITEM_LIST_LENGTH": 20, "att_fcn_layer_sizes": [40, 20]}
SHAPES = {"defaults (d = 64, m = 30, L = 50)": {}, "reduced (d = 32, m = 10, L = 20)": REDUCED}


def main() -> None:
    """Measure both variants at both sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data-path", default="dataset/")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", type=int, default=12, help="training batches that are timed")
    parser.add_argument("--users", type=int, default=6, help="users that are ranked for")
    parser.add_argument("--plain-items", type=int, default=128, help="items that the plain form ranks")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.dataset}")
    for title, shape in SHAPES.items():
        for variant in ("released", "paper"):
            measure(f"{variant}, {title}", {"surge_variant": variant, **shape}, arguments)


def measure(title: str, values: dict[str, object], arguments: argparse.Namespace) -> None:
    """Print one block of numbers."""
    fixed = {"data_path": arguments.data_path, "use_gpu": False}
    config = load_config("SURGE", arguments.dataset, config_dict={**fixed, **values})
    dataset = load_dataset(config)
    model = build(config, dataset)
    print(f"\n{title}")
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
    seconds = timed(step, arguments.batches)
    print(
        f"  training epoch: {seconds * len(batches):8.1f} s   ({len(batches)} batches of {positives} samples and "
        f"{config['train_neg_sample_args']['sample_num']} negatives each, {arguments.batches} timed)"
    )
    rank(model.eval(), dataset, arguments)


@torch.inference_mode()
def rank(model: Surge, dataset: SequentialDataset, arguments: argparse.Namespace) -> None:
    """Time one user's full ranking, factored and plain."""
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
    alone = timed(plain, arguments.users) / len(items)
    number = len(samples) * (dataset.item_num - 1)
    print(f"  full ranking:   {shared * number:8.1f} s   ({len(samples)} users x {dataset.item_num - 1} items)")
    print(
        f"  a pair of user and item: {shared * 1e6:.1f} us factored, {alone * 1e6:.1f} us plain, "
        f"ratio {alone / shared:.1f}"
    )
    print(f"  largest difference of scores: {difference:.1e}")


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
