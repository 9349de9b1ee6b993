"""Rectuner's side of ``benchmarks.training``: the same conversation as ``recbole_side.py``."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import torch

from model.config import load_config
from model.data import load_dataset
from model.registry import get_model
from model.training import epoch_order, make_optimizer, train_batches


def main() -> None:
    """Say when ready, then train as many batches as each line of the input asks for."""
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    config = load_config("S3Rec", job["dataset"], config_dict={**job["config"], "use_gpu": False})
    dataset = load_dataset(config)
    definition = get_model("S3Rec")
    model = definition.build(config, dataset)
    objective = definition.stage(job["stage"]).objective(model, dataset, config)
    optimizer = make_optimizer(model.parameters(), config)
    size = config["train_batch_size"]
    order = torch.split(epoch_order(config["seed"], 0, len(dataset.train)), size)
    objective.begin_epoch(0)
    answer({"samples": len(dataset.train), "batch": size})
    begin = 0
    for line in sys.stdin:
        wanted = int(line)
        rows = [order[(begin + index) % len(order)] for index in range(wanted)]
        begin += wanted
        wall, cpu = time.perf_counter(), time.process_time()
        loss = train_batches(objective, optimizer, rows, 0, config)
        took = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "loss": loss.total}
        answer({**took, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})


def answer(values: dict[str, Any]) -> None:
    """One line that the benchmark reads."""
    print("@" + json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
