"""Where the time of one S3Rec training step goes, as torch's profiler sees it.

    python -m benchmarks.step_profile [--stages pretrain finetune] [--dataset ml-100k] [--threads 1]

One batch warms up, the next is profiled: forward pass, backward pass and optimizer step. Self time of each operator,
gathered into kinds. With one thread the shares add up to the step; with more they overlap.
"""

from __future__ import annotations

import argparse

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.training import SETTINGS
from model.config import load_config
from model.data import catalog, load_dataset
from model.registry import get_model
from model.training import epoch_order, make_optimizer, train_batches

# First match counts: short parts of names come last.
KINDS: dict[str, tuple[str, ...]] = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm"),
    "losses": ("log_softmax", "nll", "binary_cross_entropy", "log_sigmoid"),
    "optimizer": ("adam", "foreach", "sqrt"),
    "activation and its gradient": ("gelu",),
    "softmax and its gradient": ("softmax",),
    "layer norm and its gradient": ("layer_norm",),
    "random bits": ("random_", "clamp_", "sub_"),
    "copies and changes of layout": ("copy_", "cat", "_to_copy", "clone"),
    "look-ups and their gradient": ("index", "embedding", "gather", "scatter"),
    "element-wise products and sums": ("mul", "add", "div", "where", "sum"),
    "allocation and views": ("empty", "view", "resize", "as_strided", "slice", "select", "expand", "permute", "t"),
}


def main() -> None:
    """Print one table for each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data-path", default="dataset/")
    parser.add_argument("--stages", nargs="+", default=["pretrain", "finetune"], choices=["pretrain", "finetune"])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder = catalog.locate(arguments.dataset, arguments.data_path)
    for stage in arguments.stages:
        spent = measure(stage, arguments.dataset, str(folder.parent.resolve()))
        total = sum(spent.values())
        print(f"\n{stage}: one step of 2048 samples, {total / 1e6:.2f} s of processor time")
        for kind, microseconds in sorted(spent.items(), key=lambda item: -item[1]):
            print(f"| {kind} | {microseconds / total:.0%} |")


def measure(stage: str, dataset_name: str, data_path: str) -> dict[str, float]:
    """Microseconds of each kind of operator in one training step."""
    settings = {**SETTINGS, "data_path": data_path, "use_gpu": False}
    config = load_config("S3Rec", dataset_name, config_dict=settings)
    dataset = load_dataset(config)
    definition = get_model("S3Rec")
    model = definition.build(config, dataset)
    objective = definition.stage(stage).objective(model, dataset, config)
    optimizer = make_optimizer(model.parameters(), config)
    rows = torch.split(epoch_order(config["seed"], 0, len(dataset.train)), config["train_batch_size"])
    objective.begin_epoch(0)
    train_batches(objective, optimizer, rows[:1], 0, config)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        train_batches(objective, optimizer, rows[1:2], 0, config)
    spent: dict[str, float] = {}
    for event in profiled.key_averages():
        kind = kind_of(event.key)
        spent[kind] = spent.get(kind, 0.0) + event.self_cpu_time_total
    return spent


def kind_of(operator: str) -> str:
    """The kind that an operator of torch belongs to."""
    if not operator.startswith("aten::"):
        return "Python and autograd between the operators"
    name = operator.removeprefix("aten::").lstrip("_")
    for kind, parts in KINDS.items():
        if kind == "matrix products":
            if name in parts:
                return kind
        elif any(part in name for part in parts):
            return kind
    return "other"


if __name__ == "__main__":
    main()
