from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import SPACE, STUDY, Outcome, Tuner

from model.data import synthetic
from tuner.cli.app import main


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    synthetic.write(root, "toy", users=120, items=40, classes=8, events=12, seed=1)
    return root


@pytest.fixture
def home(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of its own; commands run in an empty folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("TUNER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TUNER_DATA_ROOT", str(data_root))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "home"


@pytest.fixture
def tuner(home: Path, capsys: pytest.CaptureFixture[str]) -> Tuner:
    """The command in this process."""

    def run(*arguments: object) -> Outcome:
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def start(home: Path) -> Callable[..., subprocess.Popen[str]]:
    """The command in a process of its own."""

    def begin(*arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tuner", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )

    return begin


@pytest.fixture
def study(home: Path) -> Path:
    """A study folder called toy-study."""
    folder = Path.cwd() / "toy-study"
    folder.mkdir()
    (folder / "study.yaml").write_text(STUDY)
    (folder / "hyper.test").write_text(SPACE)
    return folder
