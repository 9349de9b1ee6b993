"""Whole runs of RecBole, replayed: contract 6.1 and 6.2 against golden/trajectories.json.

RecBole's pretraining draws from Python's global generator, row by row. The draws are repeated here in its order, so
that the finetuning runs start from RecBole's pretrained weights; everything after that is the product's own code.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.checkpoint import save_checkpoint
from model.config import Config
from model.data import SequentialDataset, load_dataset
from model.registry import get_model
from model.run import StageRun, start_run
from model.s3rec.corruption import PretrainBatch
from model.s3rec.objectives import PretrainObjective, pretrain_losses
from model.training import epoch_order, make_optimizer

MakeConfig = Callable[..., Config]


@pytest.fixture(scope="module")
def runs(golden: Callable[[str], Any]) -> Any:
    return golden("trajectories")["runs"]


@pytest.fixture(scope="module")
def make(golden: Callable[[str], Any], tiny_config: MakeConfig) -> MakeConfig:
    """Our configuration of a golden run; RecBole's weights of the losses are not our defaults."""
    shared = {**golden("trajectories")["overrides"], "aap_weight": 0.2, "mip_weight": 1.0, "gpu_id": ""}

    def config(overrides: dict[str, Any]) -> Config:
        given = {key: value for key, value in overrides.items() if key != "pre_model_path"}
        return tiny_config(**{**shared, **given}).for_stage(overrides["train_stage"])

    return config


def recboles_corruption(histories: list[list[int]], width: int, mask: int, ratio: float) -> PretrainBatch:
    """One pretraining batch as contract 5.3 describes it, drawn in RecBole's order."""
    masked, negatives = [], []
    for history in histories:
        shown, drawn = list(history), list(history)
        for place in range(len(history)):
            if random.random() < ratio:
                shown[place] = mask
                item = random.randint(1, mask)
                while item in history:
                    item = random.randint(1, mask)
                drawn[place] = item
        masked.append(shown)
        negatives.append(drawn)
    pool = [item for history in histories for item in history]
    segments = [list(_segments(history, pool, mask)) for history in histories]
    columns = [masked, histories, negatives, *zip(*segments, strict=True)]
    padded = [torch.tensor([[0] * (width - len(row)) + list(row) for row in rows]) for rows in columns]
    shown, positive, negative, *others = padded
    return PretrainBatch(shown, positive, negative, *others)


def _segments(history: list[int], pool: list[int], mask: int) -> Iterator[list[int]]:
    if len(history) < 2:
        yield from (list(history) for _ in range(3))
        return
    size = random.randint(1, len(history) // 2)
    start = random.randint(0, len(history) - size)
    other = random.randint(0, len(pool) - size)
    end = start + size
    yield history[:start] + [mask] * size + history[end:]
    hidden = [mask] * start, [mask] * (len(history) - end)
    yield hidden[0] + history[start:end] + hidden[1]
    yield hidden[0] + pool[other : other + size] + hidden[1]


@pytest.fixture(scope="module")
def pretrained(runs: Any, make: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """RecBole's pretraining run: the file with its weights, and the losses of its batches."""
    torch.set_num_threads(1)
    config = make(runs["pretrain"]["overrides"])
    dataset = load_dataset(config)
    model: Any = get_model("S3Rec").build(config, dataset)
    features = PretrainObjective(model, dataset, config).features
    optimizer = make_optimizer(model.parameters(), config)
    state = random.getstate()
    random.seed(config["seed"])
    losses = []
    for epoch in range(config["pretrain_epochs"]):
        order = epoch_order(config["seed"], epoch, len(dataset.train))
        for rows in order.split(config["train_batch_size"]):
            batch = recboles_corruption(
                histories_of(dataset, rows), config["MAX_ITEM_LIST_LENGTH"], model.mask_token, config["mask_ratio"]
            )
            optimizer.zero_grad()
            loss = pretrain_losses(model, batch, features, None).total(config)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    random.setstate(state)
    path = tmp_path_factory.mktemp("golden") / "S3Rec-tiny-2.pth"
    save_checkpoint(path, {"state_dict": model.state_dict()})
    return path, losses


def histories_of(dataset: SequentialDataset, rows: torch.Tensor) -> list[list[int]]:
    samples = dataset.train.select(rows)
    return [
        samples.items[start : start + length].tolist()
        for start, length in zip(samples.start.tolist(), samples.length.tolist(), strict=True)
    ]


def test_pretraining_has_recboles_losses_and_weights(runs: Any, pretrained: tuple[Path, list[float]]) -> None:
    path, losses = pretrained
    assert losses == pytest.approx(runs["pretrain"]["batch_losses"], rel=2e-5)
    state = torch.load(path, weights_only=True)["state_dict"]
    for name, value in runs["pretrain"]["final_sums"].items():
        if name.endswith("key.bias"):
            continue  # see assert_sums
        assert float(state[name].double().sum()) == pytest.approx(value, abs=2e-4), name


def test_pretrained_weights_have_recboles_test_result(
    runs: Any, make: MakeConfig, pretrained: tuple[Path, list[float]]
) -> None:
    config = make(runs["finetune_CE"]["overrides"])
    run = start_run(get_model("S3Rec"), "finetune", config, load_dataset(config), initial=pretrained[0])
    assert run.result().test_result == runs["pretrain"]["test_result_of_pretrained_weights"]


EXACT = ["finetune_CE", "finetune_CE_earlystop", "finetune_CE_lr0_ties", "finetune_CE_clip_sgd"]


def losses_of_batches(run: StageRun) -> list[float]:
    """A list that the loss of every batch is added to."""
    losses: list[float] = []
    backward = run._objective.backward

    def noted(rows: Tensor) -> Tensor:
        losses.append(float(backward(rows)))
        return torch.tensor(losses[-1])

    run._objective.backward = noted  # type: ignore[method-assign]
    return losses


@pytest.mark.parametrize("name", EXACT)
def test_finetuning_has_recboles_losses_scores_and_results(
    runs: Any, make: MakeConfig, pretrained: tuple[Path, list[float]], tmp_path: Path, name: str
) -> None:
    golden = runs[name]
    config = make(golden["overrides"])
    run = start_run(get_model("S3Rec"), "finetune", config, load_dataset(config), initial=pretrained[0])
    batches = losses_of_batches(run)
    reports = []
    while not run.finished:
        reports.append(run.run_epoch())
    assert batches == pytest.approx(golden["batch_losses"], rel=1e-4)
    assert [report.loss for report in reports] == pytest.approx(golden["epoch_loss"], rel=1e-4)
    scores = [[report.epoch - 1, report.valid_score] for report in reports if report.valid_score is not None]
    assert scores == golden["valid_scores"]
    result = run.result()
    assert result.best_epoch - 1 == golden["checkpoint_epoch"]
    assert result.best_valid_score == golden["best_valid_score"]
    assert result.best_valid_result == golden["best_valid_result"]
    assert result.test_result == golden["test_result"]
    assert_sums(run, golden["final_sums"], tmp_path)


def assert_sums(run: StageRun, sums: dict[str, float], folder: Path) -> None:
    """RecBole's sums are those of the best checkpoint, which it loads to test."""
    run.save(folder / "best.pth", best=True)
    for name, value in torch.load(folder / "best.pth", weights_only=True)["state_dict"].items():
        if name.endswith("key.bias"):
            continue  # its gradient is zero but for rounding (softmax ignores shifts), which Adam magnifies
        assert float(value.double().sum()) == pytest.approx(sums[name], abs=1e-3), name


def test_sampled_evaluation_does_not_disturb_training(
    runs: Any, make: MakeConfig, pretrained: tuple[Path, list[float]]
) -> None:
    """Candidates come from generators of our own, so the scores are not RecBole's; the losses have to be."""
    golden = runs["finetune_CE_uni5"]
    config = make(golden["overrides"])
    run = start_run(get_model("S3Rec"), "finetune", config, load_dataset(config), initial=pretrained[0])
    losses = []
    while not run.finished:
        losses.append(run.run_epoch().loss)
    assert losses == pytest.approx(golden["epoch_loss"], rel=1e-4)
