"""How many workers a machine gets, and which GPU each."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from tuner.engine.fleet.local import LocalExecutor
from tuner.engine.fleet.machine import choose_gpu, cores, gpus, workers_wanted
from tuner.settings import Settings


@pytest.mark.parametrize(
    ("variables", "count", "found"),
    [
        ({}, 0, ()),
        ({}, 2, ("0", "1")),
        ({"CUDA_VISIBLE_DEVICES": "3, 1"}, 2, ("3", "1")),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8f1"}, 1, ("GPU-8f1",)),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0, ()),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, 0, ()),
        ({"CUDA_VISIBLE_DEVICES": "0,7"}, 1, ("0",)),  # there is no 7
    ],
)
def test_hidden_gpus_stay_hidden(variables: dict[str, str], count: int, found: tuple[str, ...]) -> None:
    assert gpus(variables, count) == found


def test_a_gpu_has_so_many_workers_and_without_gpus_a_core_has_one(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, workers_per_gpu=3)
    assert workers_wanted(settings, ("0", "1")) == 6
    assert workers_wanted(settings, ()) == cores()
    assert workers_wanted(settings.model_copy(update={"workers": 5}), ("0", "1")) == 5
    assert workers_wanted(settings.model_copy(update={"workers": 0}), ("0", "1")) == 0


def test_workers_are_spread_over_the_gpus() -> None:
    taken: list[str] = []
    for _ in range(5):
        gpu = choose_gpu(("a", "b"), taken)
        assert gpu is not None
        taken.append(gpu)
    assert taken == ["a", "b", "a", "b", "a"]
    taken.remove("b")
    assert choose_gpu(("a", "b"), taken) == "b"
    assert choose_gpu((), []) is None


def environment_of(pid: int) -> dict[str, str]:
    """Of a process that was just started; the system shows none for the moment in which it is loaded."""
    deadline = time.monotonic() + 120
    while not (found := psutil.Process(pid).environ()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def test_a_worker_sees_its_own_gpu_only_and_gives_it_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.engine.fleet.local.own_gpus", lambda: ("4", "6"))
    executor = LocalExecutor(idle_exit=60.0)
    started = [executor.start(settings) for _ in range(3)]
    try:
        seen = [environment_of(executor._processes[key].pid)["CUDA_VISIBLE_DEVICES"] for key in started]
        assert seen == ["4", "6", "4"]
        executor.stop(started[1], kill=True)
        deadline = time.monotonic() + 120
        while executor.list().get(started[1]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        started[1] = executor.start(settings)
        assert environment_of(executor._processes[started[1]].pid)["CUDA_VISIBLE_DEVICES"] == "6"
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
    finally:
        for key in started:
            executor.stop(key, kill=True)
            executor._processes[key].wait()
