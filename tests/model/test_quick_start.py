"""The documented running examples, with only the import changed."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from model.data import synthetic
from model.errors import CheckpointError, CheckpointMismatch, CheckpointNotFound, ConfigError
from model.quick_start import run_recbole

SMALL = {"hidden_size": 16, "inner_size": 32, "train_batch_size": 512, "gpu_id": "", "show_progress": False}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a data set where RecBole would look for it, and a script without flags."""
    synthetic.write(tmp_path / "dataset", "films", users=80, items=30, events=10)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py"])
    return tmp_path


def pretrain(**changes: Any) -> dict[str, Any]:
    return run_recbole(
        model="S3Rec",
        dataset="films",
        config_dict={"train_stage": "pretrain", "save_step": 10, "pretrain_epochs": 12, **SMALL, **changes},
    )


def finetune(**changes: Any) -> dict[str, Any]:
    settings = {
        "train_stage": "finetune",
        "pre_model_path": "./saved/S3Rec-films-10.pth",
        "train_neg_sample_args": None,
    }
    return run_recbole(model="S3Rec", dataset="films", config_dict={**settings, "epochs": 3, **SMALL, **changes})


def test_both_examples_run_one_after_the_other(folder: Path) -> None:
    result = pretrain()
    assert sorted(path.name for path in (folder / "saved").iterdir()) == ["S3Rec-films-10.pth", "S3Rec-films-12.pth"]
    assert (result["best_valid_score"], result["best_valid_result"]) == (None, None)
    result = finetune()
    assert list(result) == ["best_valid_score", "valid_score_bigger", "best_valid_result", "test_result"]
    assert result["best_valid_score"] == result["best_valid_result"]["mrr@10"]
    assert result["valid_score_bigger"] is True
    assert list(result["test_result"]) == ["recall@10", "mrr@10", "ndcg@10", "hit@10", "precision@10"]
    (best,) = set((folder / "saved").glob("*.pth")) - {folder / "saved" / f"S3Rec-films-{n}.pth" for n in (10, 12)}
    assert torch.load(best, weights_only=True)["best_valid_score"] == result["best_valid_score"]


def test_two_finetunings_in_one_second_keep_their_own_files(folder: Path) -> None:
    pretrain(pretrain_epochs=1)
    for _ in range(2):
        finetune(pre_model_path="saved/S3Rec-films-1.pth", epochs=1)
    assert len(list((folder / "saved").iterdir())) == 3


def test_flags_of_the_script_win_over_the_dictionary(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "--pretrain_epochs=1", "--checkpoint_dir=elsewhere", "-v"])
    pretrain()
    assert [path.name for path in (folder / "elsewhere").iterdir()] == ["S3Rec-films-1.pth"]


def test_files_of_settings_are_read_in_order(folder: Path) -> None:
    (folder / "one.yaml").write_text("model: S3Rec\ndataset: films\npretrain_epochs: 5\nlearning_rate: 1e-3\n")
    (folder / "two.yaml").write_text("pretrain_epochs: 1\n")
    run_recbole(config_file_list=["one.yaml", "two.yaml"], config_dict=SMALL)
    assert [path.name for path in (folder / "saved").iterdir()] == ["S3Rec-films-1.pth"]


def test_nothing_is_written_when_it_is_not_to_be_saved(folder: Path) -> None:
    result = run_recbole("S3Rec", "films", config_dict={**SMALL, "pretrain_epochs": 1}, saved=False)
    assert result["test_result"]
    assert not (folder / "saved").exists()


def test_a_model_without_stages_is_only_evaluated(folder: Path) -> None:
    result = run_recbole("Popularity", "films")
    assert result["best_valid_score"] == result["best_valid_result"]["mrr@10"]
    assert not (folder / "saved").exists()


def test_a_pretrained_model_that_is_missing_is_named_with_those_that_are_there() -> None:
    pretrain(pretrain_epochs=1)
    with pytest.raises(CheckpointNotFound, match=r"saved/S3Rec-films-10\.pth.*S3Rec-films-1\.pth.*pre_model_path"):
        finetune()


def test_finetuning_without_a_pretrained_model_says_what_to_do() -> None:
    with pytest.raises(CheckpointNotFound, match=r"pre_model_path is not set.*train_stage: pretrain"):
        finetune(pre_model_path="")


def test_a_pretrained_model_of_another_data_set_is_an_error_that_names_both(folder: Path) -> None:
    pretrain(pretrain_epochs=1)
    synthetic.write(folder / "dataset", "books", users=80, items=40, events=10)
    with pytest.raises(CheckpointMismatch, match=r"data set 'films'.*'books'"):
        run_recbole(
            "S3Rec",
            "books",
            config_dict={**SMALL, "train_stage": "finetune", "pre_model_path": "saved/S3Rec-films-1.pth"},
        )


def test_a_pretrained_model_of_another_size_is_an_error_that_names_both() -> None:
    pretrain(pretrain_epochs=1)
    with pytest.raises(CheckpointMismatch, match="hidden_size is 16 there and 8 here"):
        finetune(pre_model_path="saved/S3Rec-films-1.pth", hidden_size=8)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_stops_before_training(folder: Path) -> None:
    (folder / "saved").mkdir(mode=0o500)
    with pytest.raises(CheckpointError, match=r"checkpoint_dir = 'saved' can't be written"):
        pretrain()


def test_a_file_in_the_place_of_the_folder_stops_before_training(folder: Path) -> None:
    (folder / "saved").write_text("")
    with pytest.raises(CheckpointError, match=r"checkpoint_dir = 'saved' can't be made"):
        pretrain()


def test_an_unknown_setting_is_a_warning_with_the_nearest_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="model"):
        pretrain(pretrain_epochs=1, hiden_size=4)
    assert "hiden_size is no known setting; did you mean hidden_size?" in caplog.text
    assert "pretrain epoch 1: loss" in caplog.text


def test_a_wrong_log_level_is_an_error() -> None:
    with pytest.raises(ConfigError, match="state = 'LOUD'"):
        pretrain(state="LOUD")


def test_epochs_are_shown_on_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a script that has not set up logging
    pretrain(pretrain_epochs=1, show_progress=True)
    shown = capsys.readouterr().err
    assert "80 users, 30 items" in shown
    assert "epoch 1/1" in shown
