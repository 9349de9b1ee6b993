"""Seconds of S3Rec per training epoch beside RecBole, in one run on the same data.

    python -m benchmarks.training --peer-python ENVIRONMENT/bin/python [--rounds 3] [--batches 4] [--full]

Both sides live in processes of their own and train in turn, so that a busy machine slows both alike. A few batches each
are extrapolated to an epoch; with ``--full`` every turn is a whole epoch. The peer's environment is the one that
``make test-peer`` installs; without a peer only Rectuner is measured.

Figures: wall-clock and processor seconds per epoch (medians over the turns, with the least and the most), the largest
memory of the whole process, the load of the machine before each turn (both sides' own work is in it), and for Rectuner
how long the matrix products of an epoch alone would take at the rate that this machine reaches on large square
matrices, as a share of the wall-clock time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.arithmetic import matmul_rate, useful_operations
from model.config import load_config
from model.data import catalog, load_dataset

SIDES = Path(__file__).parent / "sides"
# The documented defaults, said aloud because RecBole's code has others for the first two.
SETTINGS = {"aap_weight": 1.0, "mip_weight": 0.2, "map_weight": 1.0, "sp_weight": 0.5, "item_attribute": "class"}


@dataclass
class Side:
    """One of the two programs, in a process of its own."""

    name: str
    command: list[str]
    process: subprocess.Popen[str] = field(init=False)
    samples: int = field(init=False)
    batch: int = field(init=False)
    turns: list[dict[str, float]] = field(default_factory=list)

    def start(self) -> None:
        """Start it and wait until it is ready to train."""
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        ready = self._answer()
        self.samples, self.batch = int(ready["samples"]), int(ready["batch"])

    def train(self, batches: int) -> dict[str, float]:
        """Train some batches; what they took."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{batches}\n")
        self.process.stdin.flush()
        return self._answer()

    def turn(self, batches: int | None) -> None:
        """Train some batches, or all of an epoch, and note the seconds of an epoch."""
        whole = self.samples / self.batch
        took = self.train(batches if batches is not None else -(-self.samples // self.batch))
        factor = whole / batches if batches is not None else 1.0
        self.turns.append({**took, "seconds": took["seconds"] * factor, "cpu": took["cpu"] * factor})

    def median(self, key: str) -> float:
        """Over the turns."""
        return statistics.median(turn[key] for turn in self.turns)

    def spread(self, key: str) -> str:
        """The least and the most of the turns."""
        values = [turn[key] for turn in self.turns]
        return f"{min(values):.1f}-{max(values):.1f}"

    def stop(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("@"):
                values: dict[str, Any] = json.loads(line[1:])
                return values
        raise SystemExit(f"{self.name} ended before it answered; its messages are above.")


def main() -> None:
    """Measure the stages that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", default=os.environ.get("RECTUNER_PEER_PYTHON"), help="Python with RecBole")
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--data-path", default="dataset/")
    parser.add_argument("--stages", nargs="+", default=["pretrain", "finetune"], choices=["pretrain", "finetune"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side")
    parser.add_argument("--batches", type=int, default=4, help="Rectuner's batches in a turn; RecBole trains one")
    parser.add_argument("--full", action="store_true", help="whole epochs instead")
    arguments = parser.parse_args()
    if arguments.peer_python is None:
        print("No --peer-python and no RECTUNER_PEER_PYTHON: RecBole is left out.", file=sys.stderr)
    torch.set_num_threads(arguments.threads)
    rate = matmul_rate()
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.dataset}")
    print(f"large matrix products: {rate / 1e9:.0f} GFLOP/s, load of the machine {os.getloadavg()[0]:.1f}")
    for stage in arguments.stages:
        measure(stage, arguments, rate)


def measure(stage: str, arguments: argparse.Namespace, rate: float) -> None:
    """Train both sides in turn and print one block."""
    folder = catalog.locate(arguments.dataset, arguments.data_path)
    settings = {**SETTINGS, "data_path": str(folder.parent.resolve())}
    job = {"stage": stage, "dataset": arguments.dataset, "config": settings, "threads": arguments.threads}
    sides = [Side("Rectuner", [sys.executable, "-m", "benchmarks.sides.rectuner_side", json.dumps(job)])]
    if arguments.peer_python is not None:
        sides.append(Side("RecBole", [arguments.peer_python, str(SIDES / "recbole_side.py"), json.dumps(job)]))
    for side in sides:
        side.start()
        side.train(1)  # warm up
    for number in range(arguments.rounds):
        for side in sides:
            side.turn(None if arguments.full else (arguments.batches if side is sides[0] else 1))
        now = f"at {time.strftime('%H:%M:%S')}, load {os.getloadavg()[0]:.1f}"
        print(f"  turn {number + 1} of {arguments.rounds} {now}", file=sys.stderr)
    for side in sides:
        side.stop()
    report(stage, sides, arguments, settings, rate)


def report(stage: str, sides: list[Side], arguments: argparse.Namespace, settings: dict[str, Any], rate: float) -> None:
    """Print one block."""
    how = "whole epochs" if arguments.full else "extrapolated from a few batches"
    print(f"\n{stage}, medians of {arguments.rounds} turns, {how}")
    print(f"{'':10} {'s/epoch':>9} {'least-most':>15} {'CPU s/epoch':>12} {'least-most':>15} {'peak MB':>9}")
    for side in sides:
        memory = max(turn["peak_mb"] for turn in side.turns)
        columns = [
            f"{side.median(key):{width}.1f} {side.spread(key):>15}" for key, width in (("seconds", 9), ("cpu", 12))
        ]
        print(f"{side.name:10} {' '.join(columns)} {memory:9.0f}")
    if len(sides) == 2:
        print(f"ratio: {_ratio(sides, 'seconds')} in wall-clock time, {_ratio(sides, 'cpu')} in processor time")
    config = load_config("S3Rec", arguments.dataset, config_dict=settings)
    operations = useful_operations(stage, config, load_dataset(config))
    share = operations / rate / sides[0].median("seconds")
    print(f"products: {operations / 1e12:.1f} TFLOP = {operations / rate:.0f} s at that rate, {share:.0%} of the time")


def _ratio(sides: list[Side], key: str) -> str:
    """How many times the second side takes what the first takes: of the medians, and turn by turn."""
    turns = [theirs[key] / ours[key] for ours, theirs in zip(sides[0].turns, sides[1].turns, strict=True)]
    return f"{sides[1].median(key) / sides[0].median(key):.1f} ({min(turns):.1f}-{max(turns):.1f} turn by turn)"


if __name__ == "__main__":
    main()
