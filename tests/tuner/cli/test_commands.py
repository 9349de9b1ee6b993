"""Every command that ends at once; those that train are in test_run.py."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import torch
from command_line import Tuner

STUDIES = Path(__file__).parents[3] / "studies"


def write(name: str, text: str) -> Path:
    path = Path.cwd() / name
    path.write_text(text)
    return path


def test_the_version_is_printed(tuner: Tuner) -> None:
    assert tuner("--version").out.startswith("tuner ")


def test_space_prints_the_documented_json(tuner: Tuner) -> None:
    file = write("hyper.test", "pretrain_epochs choice [50, 100, 150]\nlearning_rate loguniform -8,0\n")
    outcome = tuner("space", file, "--json")
    assert outcome.code == 0
    assert outcome.out == (
        '{"parameters": [{"name": "pretrain_epochs", "type": "choice", "values": [50, 100, 150]}, '
        '{"name": "learning_rate", "type": "loguniform", "low": -8.0, "high": 0.0}], "size": null}\n'
    )
    documented = tuner("space", STUDIES / "s3rec-ml-100k" / "hyper.test", "--json")
    assert json.loads(documented.out)["size"] == 3


def test_space_shows_the_effective_range(tuner: Tuner) -> None:
    file = write("hyper.test", "learning_rate loguniform -8,0\nn_layers quniform 1,3,1\n")
    outcome = tuner("space", file)
    assert "0.000335463 to 1, logarithmic" in outcome.out
    assert "1 to 3 in steps of 1" in outcome.out
    assert "No end of combinations" in outcome.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "pretrain_epocs choice [1]\n",
            "hyper.test:1:1: There is no parameter pretrain_epocs. Did you mean pretrain_epochs?",
        ),
        ("# fine\npretrain_epochs choice [1, 2\n", "hyper.test:2:24"),
        ("learning_rate uniform 1\n", "hyper.test:1:"),
        ("x choice list(range(4))\n", "hyper.test:1:"),
    ],
)
def test_a_mistake_in_a_params_file_is_a_message_and_exit_code_2(tuner: Tuner, text: str, message: str) -> None:
    outcome = tuner("space", write("hyper.test", text))
    assert outcome.code == 2
    assert outcome.out == ""
    assert message in outcome.err
    assert "Traceback" not in outcome.err


def test_space_says_what_has_no_effect_and_what_does_not_fit(tuner: Tuner) -> None:
    file = write("hyper.test", "same_mapping_weight choice [0.1, 0.2]\npool_length choice [20, 60]\n")
    refused = tuner("space", file, "--model=SURGE")
    assert refused.code == 2
    assert "hyper.test:2:1: pool_length = 60: pool_length must be at most MAX_ITEM_LIST_LENGTH" in refused.err
    accepted = tuner("space", file, "--model=SURGE", "--MAX_ITEM_LIST_LENGTH=60")
    assert accepted.code == 0
    assert "Note: same_mapping_weight has no effect: only surge_variant 'paper' has soft clusters." in accepted.out
    assert "both fixed and searched" in tuner("space", file, "--model=SURGE", "--pool_length=5").err


def test_a_missing_params_file_is_named(tuner: Tuner) -> None:
    outcome = tuner("space", "nowhere.test")
    assert outcome.code == 2
    assert "nowhere.test" in outcome.err


def test_models_lists_models_and_the_parameters_of_one(tuner: Tuner) -> None:
    assert "S3Rec" in tuner("models").out
    parameters = tuner("models", "S3Rec").out
    assert "pretrain_epochs" in parameters
    assert "gelu, relu, swish, tanh, sigmoid" in parameters
    assert tuner("models", "S4Rec").code == 2


def test_a_model_suggests_a_search_space_that_is_a_params_file(tuner: Tuner) -> None:
    suggested = tuner("models", "SURGE", "--space")
    assert suggested.code == 0
    described = tuner("space", write("hyper.test", suggested.out), "--model=SURGE")
    assert (described.code, described.err) == (0, "")
    assert "surge_variant" in described.out
    assert "released, paper" in described.out
    nothing = tuner("models", "Popularity", "--space")
    assert nothing.code == 2
    assert "Popularity suggests no search space" in nothing.err
    assert "tuner models S3Rec --space" in tuner("models", "--space").err


def test_data_lists_what_is_at_hand_and_what_can_be_fetched(tuner: Tuner, data_root: Path) -> None:
    outcome = tuner("data", "ls")
    assert str(data_root / "toy") in outcome.out.replace("\n", "")
    assert "tuner data get ml-100k" in outcome.out
    assert tuner("data", "path", "toy").out == f"{data_root / 'toy'}\n"
    assert tuner("data", "get", "ml-1b").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=toy", "--model=S3Rec"], "--params_file=hyper.test"),
        (["--dataset=toy", "--params_file=hyper.test"], "model is not set"),
        (["--dataset=toy", "--model=S3rec", "--params_file=hyper.test"], "Did you mean S3Rec?"),
        (["--dataset=tay", "--model=S3Rec", "--params-file=hyper.test"], "Did you mean toy?"),
        (["--dataset=ml-100k", "--model=S3Rec", "--params_file=hyper.test"], "tuner data get ml-100k"),
        (["--dataset=toy", "--model=S3Rec", "--params_file=hyper.test", "--max_trial=2"], "--max_trials"),
        (["--dataset=toy", "--model=S3Rec", "--params_file=hyper.test", "--epochs"], "Write --epochs=VALUE"),
        (["--dataset=toy", "--model=S3Rec", "--params_file=hyper.test", "--epochs=many"], "epochs"),
        (
            ["--dataset=toy", "--model=S3Rec", "--params_file=hyper.test", "--pretrain_epochs=3"],
            "both fixed and searched",
        ),
        (["--dataset=toy", "--model=S3Rec", "--params_file=hyper.test", "--config_files=no.yaml"], "no.yaml"),
        (["--dataset=toy", "--model=S3Rec", "--params_file=hyper.test", "--item_attribute=genre"], "class"),
        (["--dataset=toy", "--model=S3Rec", "--params_file=hyper.test", "--sampler=best"], "sampler"),
        (["--dataset=toy", "--model=S3Rec", "--params_file=hyper.test", "--pruner=best"], "pruner"),
        (["--dataset=toy", "--model=S3Rec", "--params_file=hyper.test", "--early_stop=no"], "early_stop"),
        (["--dataset=toy", "--model=S3Rec", "--params_file=hyper.test", "--early_stops=3"], "--early_stop"),
        (["folder", "--dataset=toy"], "not both"),
        (["folder"], "is not a folder"),
        (["one", "two"], "One study folder at a time"),
    ],
)
def test_run_refuses_what_cannot_run_and_creates_nothing(tuner: Tuner, arguments: list[str], message: str) -> None:
    write("hyper.test", "pretrain_epochs choice [1, 2]\n")
    outcome = tuner("run", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert json.loads(tuner("study", "ls", "--json").out) == []


def test_an_occupied_port_is_named_with_the_way_out(tuner: Tuner) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        outcome = tuner("serve", "--port", port)
    assert outcome.code == 2
    assert f"port {port} of 127.0.0.1 is taken" in outcome.err
    assert f"--port {port + 1}" in outcome.err


@pytest.mark.parametrize("command", [["study", "ls"], ["serve", "--port", "0"], ["worker"]])
def test_a_home_that_cannot_be_written_is_named(
    tuner: Tuner, home: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    file = write("file", "")
    monkeypatch.setenv("TUNER_HOME", str(file / "home"))
    outcome = tuner(*command)
    assert outcome.code == 2
    assert str(file / "home") in outcome.err
    assert "TUNER_HOME" in outcome.err
    assert not home.exists()


def test_an_artifact_root_that_cannot_be_written_is_named(
    tuner: Tuner, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("file", "")
    monkeypatch.setenv("TUNER_ARTIFACT_ROOT", str(file / "artifacts"))
    outcome = tuner("run", study)
    assert outcome.code == 2
    assert str(file / "artifacts") in outcome.err
    assert "TUNER_ARTIFACT_ROOT" in outcome.err


def test_a_result_file_that_cannot_be_written_is_refused_before_the_work(tuner: Tuner, study: Path) -> None:
    outcome = tuner("run", study, f"--output_file={write('file', '') / 'x.result'}")
    assert outcome.code == 2
    assert "--output_file" in outcome.err


@pytest.mark.parametrize(
    ("variable", "value"), [("TUNER_PORT", "many"), ("TUNER_DATABASE_URL", "mysql://x"), ("TUNER_WORKERS", "-1")]
)
def test_an_unusable_setting_is_named(tuner: Tuner, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    outcome = tuner("study", "ls")
    assert outcome.code == 2
    assert variable in outcome.err or "mysql is not supported" in outcome.err


def test_an_unreachable_service_is_named(tuner: Tuner, study: Path) -> None:
    outcome = tuner("launch", study, "--url", "http://127.0.0.1:9")
    assert outcome.code == 2
    assert "Nothing answers at http://127.0.0.1:9" in outcome.err
    assert tuner("launch", study, "--url", "nonsense").code == 2


def test_a_study_that_is_not_there_is_said(tuner: Tuner) -> None:
    for command in (["study", "show", "x"], ["study", "pause", "x"], ["trial", "ls", "x"], ["trial", "show", "x", "1"]):
        outcome = tuner(*command)
        assert outcome.code == 2
        assert "There is no study 'x'" in outcome.err


def test_doctor_finds_a_fit_installation_fit_and_a_broken_one_not(
    tuner: Tuner, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = tuner("doctor")
    assert fit.code == 0
    assert fit.out.count("ok ") == 5
    monkeypatch.setenv("TUNER_ARTIFACT_ROOT", str(write("file", "") / "artifacts"))
    broken = tuner("doctor")
    assert broken.code == 1
    assert "TUNER_ARTIFACT_ROOT" in broken.out


def test_a_checkpoint_is_converted(tuner: Tuner, tmp_path: Path) -> None:
    source, target = tmp_path / "theirs.pth", tmp_path / "plain.pth"
    torch.save({"state_dict": {"w": torch.ones(3)}, "config": torch.device("cpu")}, source)
    done = tuner("checkpoint", "convert", source, target)
    assert (done.code, target.is_file()) == (0, True), done.err
    assert "1 tensors with 3 numbers" in done.out
    again = tuner("checkpoint", "convert", source, target)
    assert again.code == 2
    assert "--force" in again.err
    missing = tuner("checkpoint", "convert", tmp_path / "none.pth", target, "--force")
    assert missing.code == 2
    assert "none.pth" in missing.err
