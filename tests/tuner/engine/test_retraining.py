"""Trials that are trained again: what an interruption costs, and that it costs no bit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.checkpoint import load_checkpoint
from tuner.engine.studies import steering
from tuner.engine.work.entry import run_worker
from tuner.engine.work.lease import Interrupted
from tuner.engine.work.retraining import Retrained, retrain
from tuner.settings import Settings
from tuner.store import Database

Create = Callable[..., int]
# The best of its six epochs is the last one.
STUDY: dict[str, Any] = {"space": {"width": [4]}, "config": {"epochs": 6, "learning_rate": 0.01}}


class Killed(BaseException):
    """Ends the program where it is."""


class Terminal:
    """Trains trial 0 again; knows which epochs of its own stage were run, and may end in the middle of one."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database, self.settings = database, settings
        self.epochs: list[int] = []

    def retrain(self, target: Path, *, at: int | None = None, end: Callable[[], None] = lambda: None) -> Retrained:
        self.epochs = []

        def show(stage: str, epoch: int, epochs: int, fraction: float) -> None:
            if stage == "finetune" and epoch not in self.epochs:
                self.epochs.append(epoch)
                if epoch == at:
                    end()

        return retrain(self.database, self.settings, "study", 0, target, show)


def kill() -> None:
    raise Killed


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def left(settings: Settings) -> list[Path]:
    return [path for path in settings.artifacts.glob("studies/*/retraining/**/*") if path.is_file()]


def same(one: Path, other: Path) -> bool:
    ours, theirs = (load_checkpoint(path)["state_dict"] for path in (one, other))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture
def terminal(database: Database, settings: Settings, create: Create) -> Terminal:
    create(**STUDY)
    run_worker(settings, exit_when_idle=True)
    return Terminal(database, settings)


@pytest.mark.parametrize(
    ("end", "raised", "every", "again"),
    [
        (kill, Killed, 1, [4, 5, 6]),
        (kill, Killed, 2, [3, 4, 5, 6]),
        (ctrl_c, Interrupted, 1, [5, 6]),
        (ctrl_c, Interrupted, 50, [5, 6]),
    ],
)
def test_what_was_interrupted_goes_on_to_the_same_bits(
    terminal: Terminal,
    tmp_path: Path,
    end: Callable[[], None],
    raised: type[BaseException],
    every: int,
    again: list[int],
) -> None:
    whole = terminal.retrain(tmp_path / "whole.pth")
    assert (whole.epoch, terminal.epochs, left(terminal.settings)) == (6, [1, 2, 3, 4, 5, 6], [])
    terminal.settings = terminal.settings.model_copy(update={"checkpoint_epochs": every})
    with pytest.raises(raised):
        terminal.retrain(tmp_path / "again.pth", at=4, end=end)
    assert not (tmp_path / "again.pth").exists()
    assert len(left(terminal.settings)) == 1
    assert terminal.retrain(tmp_path / "again.pth") == whole
    assert terminal.epochs == again
    assert whole.same
    assert same(tmp_path / "whole.pth", tmp_path / "again.pth")
    assert left(terminal.settings) == []


def test_a_damaged_state_is_not_gone_on_from(terminal: Terminal, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        terminal.retrain(tmp_path / "again.pth", at=4, end=kill)
    (state,) = left(terminal.settings)
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    assert terminal.retrain(tmp_path / "again.pth").same
    assert terminal.epochs == [1, 2, 3, 4, 5, 6]


def test_what_was_begun_of_it_goes_with_its_study(terminal: Terminal, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        terminal.retrain(tmp_path / "again.pth", at=4, end=kill)
    run_worker(terminal.settings, exit_when_idle=True)  # which removes what ended trials have left
    assert len(left(terminal.settings)) == 1
    steering.delete_study(terminal.database, terminal.settings, "study")
    assert left(terminal.settings) == []
