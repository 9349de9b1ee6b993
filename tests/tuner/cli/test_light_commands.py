"""What only looks or steers does not wait for what computes: torch alone takes seconds to import.

A command that is not in ``LIGHT`` has to be named in ``HEAVY``, with what it needs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import typer
from command_line import SPACE, STUDY
from sqlalchemy import select

from tuner import space
from tuner.assembly import StudyOptions, assemble
from tuner.cli.app import app
from tuner.engine.studies import creation
from tuner.settings import Settings
from tuner.store import Database, TrialState, tokens
from tuner.store.states import Scope
from tuner.store.tables import Slot

COMPUTING = ("torch", "pandas", "plotly", "optuna", "sklearn", "scipy", "uvicorn", "dash")
# What help and completion do without, too.
SERVING = ("sqlalchemy", "alembic", "httpx")

# Arguments with which each does what it is for, in the installation below; and its exit code.
LIGHT: dict[str, tuple[str, int]] = {
    "launch": ("--model=S3Rec --dataset=toy --params_file=hyper.test --url=http://127.0.0.1:9", 2),  # nobody answers
    "space": ("hyper.test", 0),
    "models": ("S3Rec", 0),
    "events": ("--kind=created", 0),
    "data ls": ("", 0),
    "data get": ("no-such-data-set", 2),
    "data path": ("toy", 0),
    "study ls": ("", 0),
    "study show": ("toy-study", 0),
    "study stages": ("toy-study", 0),
    "study events": ("toy-study --json", 0),
    "study best": ("toy-study", 0),
    "study export": ("toy-study", 0),
    "study pause": ("toy-study", 0),
    "study resume": ("toy-study", 0),
    "study cancel": ("toy-study", 0),
    "trial ls": ("toy-study", 0),
    "trial show": ("toy-study 0", 0),
    "trial config": ("toy-study 0", 0),
    "token create": ("phone", 0),
    "token ls": ("", 0),
    "token revoke": ("laptop", 0),
    "cache ls": ("", 0),
    "cache adopt": ("--yes", 0),
}
HEAVY = {
    "run": "trains",
    "serve": "serves the dashboard",
    "worker": "trains",
    "doctor": "looks at torch",
    "demo": "serves and trains",
    "study stop": "the course of a study, which reads Optuna's trials",
    "study delete": "Optuna's part of the study",
    "study budget": "Optuna's samplers",
    "study replay": "Optuna's samplers",
    "trial retry": "Optuna's part of the study",
    "trial enqueue": "Optuna's part of the study",
    "trial export": "weights",
    "trial retrain": "trains",
    "trial picture": "weights, and Plotly",
    "checkpoint convert": "weights",
    "cache prune": "the cache of stages, which trains",
    "cache verify": "weights",
}


def commands(command: Any = None, *path: str) -> Iterator[str]:
    """Every command and group, by the words that call it."""
    command = command or typer.main.get_command(app)
    yield " ".join(path)
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, *path, name)


GROUPS = {"", *(name.rpartition(" ")[0] for name in commands())}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """A folder with an installation in ``home``: a study, one trial of which has ended, and a token."""
    folder = tmp_path_factory.mktemp("light")
    (folder / "hyper.test").write_text(SPACE)
    (folder / "study.yaml").write_text(STUDY)
    settings = Settings(home=folder / "home", data_root=data_root, _env_file=None)
    database = Database(settings.database)
    database.upgrade()
    options = StudyOptions(name="toy-study", model="S3Rec", dataset="toy", config={"MAX_ITEM_LIST_LENGTH": 8})
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TUNER_DATA_ROOT", str(data_root))
        assembled = assemble(options, space.parse(SPACE))
        creation.create(database, settings, assembled)
    study = optuna.load_study(study_name="toy-study", storage=database.storage)
    trial = study.ask(fixed_distributions=assembled.plan.space.distributions())
    study.tell(trial, 0.1)
    with database.transaction() as session:
        slot = session.scalars(select(Slot).order_by(Slot.ordinal)).first()
        assert slot is not None
        slot.optuna_number, slot.state = trial.number, TrialState.COMPLETED
    tokens.create_token(database, "laptop", Scope.READ)
    database.close()
    return folder


def run(program: str, *arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env=os.environ | {"TUNER_HOME": str(folder / "home")} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_client_is_imported_without_what_computes(tmp_path: Path) -> None:
    names = (*COMPUTING, "sqlalchemy", "alembic")
    program = f"import sys, tuner.client\nsys.exit(' '.join(name for name in {names} if name in sys.modules))"
    assert run(program, folder=tmp_path).stderr == "\n"


def test_no_help_waits_for_what_the_command_needs(tmp_path: Path) -> None:
    program = f"""
import sys
from tuner.cli.app import main
for command in sys.argv[1:]:
    try:
        main([*command.split(), "--help"])
    except SystemExit as end:
        assert not end.code
    if found := [name for name in {COMPUTING + SERVING} if name in sys.modules]:
        sys.exit(f"tuner {{command}} --help imports {{' '.join(found)}}")
"""
    done = run(program, *commands(), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def told(prepared: Path, data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What every light command did, one after the other in one interpreter, each in an installation of its own.

    What a command imported is told of the first that did so.
    """
    folder = tmp_path_factory.mktemp("light")
    for command in LIGHT:
        shutil.copytree(prepared, folder / command)
    program = f"""
import json, os, sys
from tuner.cli.app import main
told, before = {{}}, set()
for command, (arguments, _) in {LIGHT}.items():
    os.chdir({str(folder)!r} + "/" + command)
    os.environ["TUNER_HOME"] = os.path.abspath("home")
    code = 0
    try:
        main([*command.split(), *arguments.split()])
    except SystemExit as end:
        code = end.code or 0
    found = {{name for name in {COMPUTING} if name in sys.modules}}
    told[command] = {{"code": code, "imported": sorted(found - before)}}
    before = found
print("", json.dumps(told), sep="\\n")
"""
    done = run(program, folder=folder, TUNER_DATA_ROOT=str(data_root))
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("command", [name for name in commands() if name not in GROUPS and name not in HEAVY])
def test_a_command_that_computes_nothing_imports_nothing_that_does(
    command: str, told: dict[str, dict[str, Any]]
) -> None:
    assert command in LIGHT, f"Name tuner {command} among the light commands, or the heavy ones with what it needs."
    assert told[command] == {"code": LIGHT[command][1], "imported": []}


def test_a_command_is_light_or_heavy() -> None:
    assert not {*HEAVY} & {*LIGHT}
    assert {*HEAVY, *LIGHT} <= {*commands()} - GROUPS
