"""Input 01: a searched ``pre_model_path`` was accepted and ignored, whether its files were there or not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model.quick_start import run_recbole

FIELD = Path(__file__).parent
OURS = ["saved/S3Rec-t-1.pth", "saved/S3Rec-t-2.pth"]
SIZES = ["--epochs=1", "--train_batch_size=64", "--hidden_size=16", "--inner_size=16", "--n_layers=1", "--n_heads=1"]
SEARCHED = f"pre_model_path choice {OURS}\n"


@pytest.fixture
def checkpoints(settings, monkeypatch):
    """Two lengths of one pretraining, written by the Python API; what finetuning from each of them gives."""
    monkeypatch.setattr("sys.argv", ["script"])
    fast = {"epochs": 1, "train_batch_size": 64, "hidden_size": 16, "inner_size": 16, "n_layers": 1, "n_heads": 1}
    fast |= {"show_progress": False, "state": "ERROR", "save_step": 1, "pretrain_epochs": 2}
    run_recbole("S3Rec", "t", config_dict=fast | {"train_stage": "pretrain"})
    found = {}
    for path in OURS:
        config = fast | {"train_stage": "finetune", "pre_model_path": path}
        found[str(Path(path).absolute())] = run_recbole("S3Rec", "t", config_dict=config, saved=False)
    return {path: result["best_valid_score"] for path, result in found.items()}


def trials(http, name="study"):
    return http.get(f"/api/v1/studies/{name}/trials").json()["items"]


def test_every_trial_is_finetuned_from_its_own_file(launch, run_all, http, checkpoints):
    assert launch(SEARCHED, config={"pretrain_epochs": 7}).status_code == 201
    run_all()
    found = {trial["params"]["pre_model_path"]: trial["value"] for trial in trials(http)}
    assert found == checkpoints
    assert len(set(found.values())) == 2
    study = http.get("/api/v1/studies/study").json()
    assert study["epochs"] == {"asked": 0, "run": 0, "reused": 0}
    assert study["shared_stages"] == []


def test_two_studies_with_fixed_paths_give_the_same(launch, run_all, http, checkpoints):
    for number, path in enumerate(OURS):
        answer = launch("finetune.learning_rate choice [0.001]", name=f"s{number}", config={"pre_model_path": path})
        assert answer.status_code == 201
    run_all()
    assert [trials(http, f"s{number}")[0]["value"] for number in range(2)] == list(checkpoints.values())


def test_an_empty_path_among_the_options_stands_for_pretraining(launch, run_all, http, checkpoints):
    """'' pretrains, as it does where it is fixed: the same value as a study without the key."""
    assert launch(f"pre_model_path choice ['', '{OURS[1]}']", config={"pretrain_epochs": 1}).status_code == 201
    run_all()
    found = {trial["params"]["pre_model_path"]: trial["value"] for trial in trials(http)}
    study = http.get("/api/v1/studies/study").json()
    assert study["epochs"] == {"asked": 1, "run": 1, "reused": 0}
    assert study["shared_stages"] == ["pretrain"]
    by_length = list(checkpoints.values())
    assert found == {"": by_length[0], str(Path(OURS[1]).absolute()): by_length[1]}


@pytest.mark.parametrize("missing", ["saved/none.pth", "saved"])
def test_a_searched_path_that_does_not_exist_is_refused_with_its_line(launch, http, checkpoints, missing):
    answer = launch(f"finetune.learning_rate choice [0.001]\npre_model_path choice ['{OURS[0]}', '{missing}']")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["line"] == 2
    assert f"pre_model_path = '{missing}'" in error["detail"]
    assert http.get("/api/v1/studies").json()["total"] == 0


def test_the_command_line_refuses_it_with_its_line_too(tuner, checkpoints):
    Path("hyper.test").write_text(f"# paths\npre_model_path choice ['{OURS[0]}', 'saved/none.pth']\n")
    code, text = tuner("run", "--model=S3Rec", "--dataset=t", "--params_file=hyper.test", *SIZES)
    assert code == 2
    assert "hyper.test:2" in text
    assert "saved/none.pth" in text


def test_a_file_that_is_no_checkpoint_is_refused(launch, checkpoints):
    Path("saved/text.pth").write_text("no checkpoint")
    answer = launch("pre_model_path choice ['saved/text.pth']")
    assert answer.status_code == 422
    assert "pre_model_path = 'saved/text.pth': saved/text.pth: " in answer.json()["detail"]
    fixed = launch("finetune.learning_rate choice [0.001]", config={"pre_model_path": "saved/text.pth"})
    assert fixed.status_code == 422


def test_a_checkpoint_that_does_not_fit_is_refused(launch, checkpoints):
    """Also where only one of the searched sizes does not fit, and the path is fixed: that line is named."""
    wider = launch(SEARCHED, config={"hidden_size": 32})
    assert wider.status_code == 422
    assert "hidden_size is 16 there and 32 here" in wider.json()["detail"]
    searched = launch("seed choice [1]\nhidden_size choice [16, 32]", config={"pre_model_path": OURS[0]})
    assert searched.status_code == 422
    assert [error["line"] for error in searched.json()["errors"]] == [2]


def test_a_checkpoint_of_another_data_set_is_refused(launch, checkpoints):
    folder = Path("data/u")
    folder.mkdir(parents=True)
    for file in (FIELD / "dataset" / "t").iterdir():
        shutil.copy(file, folder / file.name.replace("t.", "u.", 1))
    answer = launch(SEARCHED, dataset="u", config={"data_path": "data"})
    assert answer.status_code == 422
    assert "was made for data set 't', this run is for 'u'" in answer.json()["detail"]


def test_the_same_command_goes_on_with_the_same_study(tuner, checkpoints):
    """Paths are made absolute when the study is created; the same request is the same study."""
    Path("hyper.test").write_text(SEARCHED)
    command = ["run", "--model=S3Rec", "--dataset=t", "--params_file=hyper.test", "--name=again", "--workers=1", *SIZES]
    assert tuner(*command)[0] == 0
    code, text = tuner(*command)
    assert (code, "is completed" in text) == (0, True)
