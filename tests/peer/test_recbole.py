"""The same run here and in RecBole: same data, weights and batch order, no dropout; every number compared.

Needs the interpreter of an environment with RecBole, made from benchmarks/peer/requirements.txt, in
``RECTUNER_PEER_PYTHON``; ``make test-peer`` makes both.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.checkpoint import load_checkpoint
from model.config import Config, load_config
from model.conversion import convert_checkpoint
from model.data import SequentialDataset, load_dataset, synthetic
from model.registry import get_model
from model.run import start_run
from model.s3rec.corruption import PretrainBatch
from model.s3rec.objectives import PretrainObjective, pretrain_losses
from model.training import make_optimizer
from tuner import insight
from tuner.engine.files.weights import read_weights
from tuner.engine.studies import creation
from tuner.engine.work.entry import run_worker
from tuner.settings import Settings
from tuner.space import SearchSpace, SpaceParameter
from tuner.specification import StudySpecification
from tuner.store import Database

# RecBole runs in a folder of its own, from where a relative path would name another file. The environment's link to its
# interpreter is not followed (as Path.resolve() would): behind it is the Python without RecBole.
PYTHON = str(Path.cwd() / value) if (value := os.environ.get("RECTUNER_PEER_PYTHON")) else ""
pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not PYTHON,
        reason="RECTUNER_PEER_PYTHON does not name the Python of an environment with RecBole (make test-peer)",
    ),
]

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
# Every setting in which our defaults differ from RecBole's is given to both.
SETTINGS: dict[str, Any] = {
    "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "class"]},
    "hidden_size": 16,
    "inner_size": 32,
    "hidden_dropout_prob": 0.0,
    "attn_dropout_prob": 0.0,
    "MAX_ITEM_LIST_LENGTH": 12,
    "train_batch_size": 64,
    "learning_rate": 0.002,
    "aap_weight": 1.0,
    "mip_weight": 0.2,
    "save_step": 1,
    "metrics": ["Recall", "MRR", "NDCG", "Hit", "Precision", "MAP", "GAUC"],
    "topk": [5, 10],
    "gpu_id": "",
    "show_progress": False,
    "train_neg_sample_args": None,
}


@dataclass(frozen=True)
class Peer:
    """A folder with a data set, and RecBole to run on it."""

    folder: Path

    def run(self, resume: str = "", evaluate: str = "", **settings: Any) -> dict[str, Any]:
        """What RecBole did, see recbole_side.py."""
        job = {
            "dataset": "films",
            "resume": resume,
            "evaluate": evaluate,
            "config": {**SETTINGS, "data_path": str(self.folder), **settings},
            "output": str(self.folder / "record.pth"),
        }
        (self.folder / "job.json").write_text(json.dumps(job))
        script = Path(__file__).with_name("recbole_side.py")
        # No TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD: RecBole reads our files with torch's safe default.
        done = subprocess.run(
            [PYTHON, str(script), "job.json"], cwd=self.folder, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:]
        record: dict[str, Any] = torch.load(job["output"], weights_only=True)
        return record

    def config(self, stage: str, **settings: Any) -> Config:
        """Our configuration with the same settings."""
        given = {**SETTINGS, "data_path": str(self.folder), **settings}
        return load_config("S3Rec", "films", config_dict=given).for_stage(stage)


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Peer:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("peer")
    synthetic.write(folder, "films", users=60, items=40, events=10)
    return Peer(folder)


@pytest.fixture(scope="module")
def pretraining(peer: Peer) -> dict[str, Any]:
    """RecBole's record of one epoch of pretraining."""
    return peer.run(train_stage="pretrain", pretrain_epochs=1)


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        if name.endswith("key.bias"):
            continue  # its gradient is zero but for rounding (softmax ignores shifts), which Adam magnifies
        torch.testing.assert_close(ours[name], value, msg=lambda text, name=name: f"{name}: {text}", **CLOSE)


def assert_same_scores(model: Any, dataset: SequentialDataset, record: dict[str, Any]) -> None:
    theirs = record["scores"]
    model.eval()
    with torch.no_grad():
        ours = model.score_all(theirs["histories"], theirs["lengths"])
    assert ours.shape == (len(dataset.test), dataset.item_num)
    torch.testing.assert_close(ours[:, 1:], theirs["scores"][:, 1:], **CLOSE)


def test_items_and_initial_weights_are_the_same(peer: Peer, pretraining: dict[str, Any]) -> None:
    config = peer.config("pretrain", pretrain_epochs=1)
    dataset = load_dataset(config)
    assert list(dataset.tokens["item_id"]) == pretraining["items"]
    ours = get_model("S3Rec").build(config, dataset).state_dict()
    assert list(ours) == list(pretraining["initial"])
    for name, value in pretraining["initial"].items():
        assert torch.equal(ours[name], value), name


def test_an_epoch_of_pretraining_has_the_same_losses_and_ends_with_the_same_weights(
    peer: Peer, pretraining: dict[str, Any]
) -> None:
    config = peer.config("pretrain", pretrain_epochs=1)
    dataset = load_dataset(config)
    model: Any = get_model("S3Rec").build(config, dataset)
    features = PretrainObjective(model, dataset, config).features
    optimizer = make_optimizer(model.parameters(), config)
    assert len(pretraining["batches"]) > 5
    for (labels, *corrupted), theirs in zip(pretraining["batches"], pretraining["losses"], strict=True):
        batch = PretrainBatch(*corrupted)
        assert torch.equal(features[batch.pos_items] * (batch.pos_items > 0)[..., None], labels.float())
        optimizer.zero_grad()
        loss = pretrain_losses(model, batch, features, None).total(config)
        assert float(loss.detach()) == pytest.approx(theirs, rel=1e-5)
        loss.backward()
        optimizer.step()
    assert_close(model.state_dict(), pretraining["final"])
    assert_same_scores(model, dataset, pretraining)


def test_recboles_pretrained_model_is_read(peer: Peer, pretraining: dict[str, Any]) -> None:
    path = peer.folder / "saved" / "S3Rec-films-1.pth"
    content = load_checkpoint(path)
    assert content["config"]["dataset"] == "films"
    config = peer.config("finetune")
    run = start_run(get_model("S3Rec"), "finetune", config, load_dataset(config), initial=path)
    for name, value in pretraining["final"].items():
        assert torch.equal(run.model.state_dict()[name], value), name
    assert run.result().test_result == pytest.approx(pretraining["test_result"], abs=1e-6)


def test_a_converted_file_of_recbole_is_read_by_recbole_and_here(peer: Peer, pretraining: dict[str, Any]) -> None:
    plain = peer.folder / "plain.pth"
    convert_checkpoint(peer.folder / "saved" / "S3Rec-films-1.pth", plain)
    theirs = peer.run(train_stage="finetune", pre_model_path=str(plain), epochs=1)
    content = torch.load(plain, weights_only=True)
    for name, value in pretraining["final"].items():
        assert torch.equal(theirs["initial"][name], value), name
        assert torch.equal(content["state_dict"][name], value), name


def test_recbole_goes_on_from_a_converted_file(peer: Peer, pretraining: dict[str, Any]) -> None:
    """Its best score is numpy's; without it, RecBole compares the next one with None."""
    begun = peer.folder / "begun.pth"
    convert_checkpoint(peer.folder / "saved" / "S3Rec-films-1.pth", begun)
    settings = {"train_stage": "finetune", "pre_model_path": str(begun)}
    first = peer.run(**settings, epochs=2)
    plain = peer.folder / "finetuned.pth"
    assert convert_checkpoint(peer.folder / first["checkpoint"], plain).dropped == ()
    theirs = peer.run(resume=str(plain), **settings, epochs=4)
    assert theirs["resumed"]["epoch"] == first["best_epoch"]
    assert theirs["resumed"]["best_valid_score"] == first["valid_result"]["mrr@10"]
    assert len(theirs["losses"]) == len(first["losses"]) // 2 * (4 - first["best_epoch"])


@pytest.mark.parametrize("learner", ["adam", "sgd"])
def test_finetuning_from_our_checkpoint_is_the_same_there_and_here(peer: Peer, learner: str) -> None:
    definition = get_model("S3Rec")
    settings = {"pretrain_epochs": 1, "epochs": 2, "learner": learner, "weight_decay": 0.01}
    pretrain = peer.config("pretrain", **settings)
    dataset = load_dataset(pretrain)
    run = start_run(definition, "pretrain", pretrain, dataset)
    run.run_epoch()
    path = peer.folder / f"ours-{learner}.pth"
    run.save(path)

    theirs = peer.run(train_stage="finetune", pre_model_path=str(path), **settings)
    for name, value in run.model.state_dict().items():
        assert torch.equal(theirs["initial"][name], value), name

    losses: list[Tensor] = []
    ours = start_run(definition, "finetune", peer.config("finetune", **settings), dataset, initial=path)
    backward = ours._objective.backward
    ours._objective.backward = lambda rows: losses.append(backward(rows)) or losses[-1]  # type: ignore[method-assign]
    while not ours.finished:
        ours.run_epoch()
    assert [float(loss) for loss in losses] == pytest.approx(theirs["losses"], rel=1e-5)
    assert_close(ours.model.state_dict(), theirs["final"])
    assert_same_scores(ours.model, dataset, theirs)
    result = ours.result()
    assert result.best_epoch == theirs["best_epoch"]
    assert result.best_valid_result == pytest.approx(theirs["valid_result"], abs=1e-6)
    assert result.test_result == pytest.approx(theirs["test_result"], abs=1e-6)

    # RecBole's own finetuned file is of another pickle protocol than its pretrained one.
    saved = peer.folder / theirs["checkpoint"]
    ours.save(peer.folder / "best.pth", best=True)
    assert_close(load_checkpoint(peer.folder / "best.pth")["state_dict"], load_checkpoint(saved)["state_dict"])


def test_the_best_trial_of_a_study_has_the_same_metrics_in_recbole(peer: Peer, tmp_path: Path) -> None:
    """The rates are too high on purpose: the best epoch is not the last."""
    fixed: dict[str, Any] = {"pretrain_epochs": 1, "epochs": 60, "stopping_step": 1, "valid_metric": "NDCG@10"}
    given = SETTINGS | {"data_path": str(peer.folder)} | fixed
    del given["learning_rate"]
    space = SearchSpace((SpaceParameter("finetune.learning_rate", "choice", (0.1, 0.3)),)).to_json()
    settings = Settings(home=tmp_path, workers=0)
    database = Database(settings.database)
    database.upgrade()
    specification = StudySpecification(name="films", model="S3Rec", dataset="films", space=space, config=given)
    creation.create(database, settings, specification)
    run_worker(settings, exit_when_idle=True)
    best = insight.get_study(database, "films")
    assert best.best_trial is not None
    trial = insight.get_trial(database, "films", best.best_trial)
    assert trial.best_epoch is not None
    assert trial.best_epoch < max(point.epoch for point in trial.curves if point.stage == "finetune")
    exported = tmp_path / "exported.pth"
    read_weights(database, settings.artifacts, "films").save(exported)
    database.close()
    finetune = {**fixed, "train_stage": "finetune", "pre_model_path": str(exported)}
    theirs = peer.run(evaluate=str(exported), **finetune)
    assert theirs["test_result"] == pytest.approx(best.best_test_result, abs=1e-6)
    assert theirs["valid_result"] == pytest.approx(best.best_valid_result, abs=1e-6)
    resumed = peer.run(resume=str(exported), **finetune)["resumed"]
    assert resumed == {"epoch": trial.best_epoch, "best_valid_score": trial.value}
