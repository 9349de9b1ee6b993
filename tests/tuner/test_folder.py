from __future__ import annotations

from pathlib import Path

import pytest

from model.errors import ConfigError
from tuner.assembly import same_study
from tuner.errors import SpaceError, SpecificationError
from tuner.folder import read_study

STUDIES = Path(__file__).parents[2] / "studies"


def write(folder: Path, study: str, params: str = "pretrain_epochs choice [1, 2]\n") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(study)
    (folder / "hyper.test").write_text(params)
    return folder


def test_a_folder_becomes_a_specification(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("train_batch_size: 64\nlearning_rate: 1e-2\n")
    text = (
        "model: S3Rec\ndataset: toy\nconfig_files: [more.yaml]\nconfig: {train_batch_size: 32}\n"
        "sampler: bayes\npruner: {name: median, options: {n_startup_trials: 2}}\nmax_trials: 2\n"
    )
    specification = read_study(write(tmp_path / "mine", text.replace("more.yaml", "../more.yaml"))).specification
    assert specification.name == "mine"
    assert specification.config == {"train_batch_size": 32, "learning_rate": 0.01}
    assert specification.sampler.name == "tpe"
    assert specification.pruner.options == {"n_startup_trials": 2}
    assert specification.space["size"] == 2
    assert specification.max_trials == 2


@pytest.mark.parametrize(
    ("text", "place", "fix"),
    [
        ("model: S3Rec\ndatset: toy\n", "study.yaml:2", "dataset"),
        ("model: S3Rec\ndataset: toy\nmax_trials: many\n", "study.yaml:3", "max_trials"),
        ("model: S3Rec\ndataset: toy\n\nsampler:\n  name: best\n", "study.yaml:5", "sampler.name"),
        ("model: S3Rec\ndataset: toy\nlearning_rate: 3\n", "study.yaml:3", "config"),
    ],
)
def test_a_wrong_key_is_named_with_its_line(tmp_path: Path, text: str, place: str, fix: str) -> None:
    with pytest.raises(SpecificationError) as raised:
        read_study(write(tmp_path, text))
    assert place in str(raised.value)
    assert fix in str(raised.value)


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model is not set"):
        read_study(write(tmp_path, "dataset: toy\n"))


def test_broken_yaml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"study\.yaml"):
        read_study(write(tmp_path, "model: [S3Rec\n"))


def test_a_mistake_in_the_params_file_keeps_its_line(tmp_path: Path) -> None:
    study = "model: S3Rec\ndataset: toy\n"
    with pytest.raises(SpaceError) as raised:
        read_study(write(tmp_path, study, "# one\npretrain_epocs choice [1]\n"))
    assert raised.value.line == 2
    assert "pretrain_epochs" in raised.value.fix


def test_what_is_no_study_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match=r"has no study\.yaml"):
        read_study(tmp_path)
    with pytest.raises(SpecificationError, match="is not a folder"):
        read_study(tmp_path / "nowhere")


def test_the_budget_does_not_make_another_study(tmp_path: Path) -> None:
    study = "name: one\nmodel: S3Rec\ndataset: toy\n"
    one = read_study(write(tmp_path, study + "max_trials: 1\n")).specification
    more = read_study(write(tmp_path, study + "max_trials: 2\nworkers: 2\n")).specification
    other = read_study(write(tmp_path, study + "config: {seed: 1}\n")).specification
    assert same_study(one, more) == []
    assert same_study(one, other) == ["config"]


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in STUDIES.glob("*/study.yaml")))
def test_the_studies_of_the_repository_can_be_read(folder: str) -> None:
    assembled = read_study(STUDIES / folder)
    assert assembled.notes == ()


def test_the_documented_params_file_is_unchanged() -> None:
    text = (STUDIES / "s3rec-ml-100k" / "hyper.test").read_text()
    assert text == "pretrain_epochs choice [50, 100, 150]\n"
