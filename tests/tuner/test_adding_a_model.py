"""A model is its own package and one line in the registry: the tuner's files are the same with it and without it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model import registry
from model.data import synthetic
from tuner import space
from tuner.assembly import StudyOptions, assemble

REPOSITORY = Path(__file__).parents[2]
SOURCES = sorted((REPOSITORY / "tuner").rglob("*.py"))
PACKAGES = {target.partition(":")[0] for target in registry.BUILT_IN.values()}
# What is a model's own, and nobody else may know: its name, and the names of its stages.
NAMES = {*registry.BUILT_IN, *(stage.name for name in registry.BUILT_IN for stage in registry.get_model(name).stages)}

CONFIG = ["--train_batch_size=64", "--epochs=2", "--MAX_ITEM_LIST_LENGTH=8", "--valid_metric=NDCG@10"]
S3REC = ["--model=S3Rec", "--hidden_size=8", "--inner_size=8", "--n_layers=1", "--pretrain_epochs=1"]
SURGE = ["--model=SURGE", "--embedding_size=8", "--layer_sizes=[8]", "--att_fcn_layer_sizes=[8, 4]", "--pool_length=4"]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_file_of_the_tuner_names_or_imports_a_model(source: Path) -> None:
    """In a docstring a model may be an example; as a value its name, or a stage's, would decide something."""
    tree = ast.parse(source.read_text())
    values = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert not values & NAMES
    assert not {package for package in PACKAGES for name in _imported(tree) if f"{name}.".startswith(f"{package}.")}


def _imported(tree: ast.Module) -> set[str]:
    whole = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    origins = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return whole | {f"{node.module}.{alias.name}" for node in origins for alias in node.names}


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_the_search_space_that_a_model_suggests_fits_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    definition = registry.get_model(name)
    assert bool(definition.search_space) == bool(definition.stages)
    if not definition.stages:
        return
    synthetic.write(tmp_path, "toy", users=40, items=24, classes=4, events=10, seed=5)
    monkeypatch.setenv("TUNER_DATA_ROOT", str(tmp_path))
    assembled = assemble(StudyOptions(model=name, dataset="toy"), space.parse(definition.search_space))
    assert assembled.notes == ()


@pytest.mark.slow
def test_a_model_comes_and_goes_with_its_package_and_its_line(tmp_path: Path) -> None:
    """The tuner is copied once and never written to: first beside a model/ that has no SURGE, then beside the whole."""
    _copy("tuner", tmp_path)
    _copy("model", tmp_path)
    listed = tmp_path / "model" / "registry.py"
    whole = listed.read_text()
    line = '    "SURGE": "model.surge:DEFINITION",\n'
    assert line in whole
    listed.write_text(whole.replace(line, ""))
    shutil.rmtree(tmp_path / "model" / "surge")
    synthetic.write(tmp_path / "data", "toy", users=60, items=24, classes=4, events=10, seed=5)
    params_file = tmp_path / "hyper.test"
    params_file.write_text("learning_rate choice [0.001, 0.003]\n")

    run = ["run", "--dataset=toy", f"--params_file={params_file}", *CONFIG]
    assert "SURGE" not in _command(tmp_path, "models").stdout
    unknown = _command(tmp_path, *run, *SURGE)
    assert unknown.returncode == 2
    assert "there is no model of that name" in unknown.stderr
    assert "is completed" in _command(tmp_path, *run, *S3REC).stdout

    listed.write_text(whole)
    shutil.copytree(REPOSITORY / "model" / "surge", tmp_path / "model" / "surge", ignore=_LEAVE_OUT)
    assert "SURGE" in _command(tmp_path, "models").stdout
    assert "is completed" in _command(tmp_path, *run, *SURGE).stdout


_LEAVE_OUT = shutil.ignore_patterns("__pycache__")


def _copy(package: str, to: Path) -> None:
    shutil.copytree(REPOSITORY / package, to / package, ignore=_LEAVE_OUT)


def _command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``tuner`` of the copy, not of the installation."""
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "TUNER_HOME": str(folder / "home"),
        "TUNER_DATA_ROOT": str(folder / "data"),
        "TUNER_WORKERS": "1",
        "COLUMNS": "200",
    }
    command = [sys.executable, "-m", "tuner", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
