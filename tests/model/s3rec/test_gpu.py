"""On a GPU the same code computes the same numbers, and nothing waits for the device inside an epoch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest
import torch

from model.config import Config
from model.data import SequentialDataset
from model.s3rec.corruption import corrupt, left_padded
from model.s3rec.network import S3Rec, build
from model.s3rec.objectives import FinetuneObjective, PretrainObjective, pretrain_losses
from model.training import make_optimizer, train_epoch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

MakeConfig = Callable[..., Config]
OBJECTIVES = [PretrainObjective, FinetuneObjective]
Kind = type[PretrainObjective] | type[FinetuneObjective]


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


def on_gpu(config: Config, dataset: SequentialDataset) -> S3Rec:
    return build(config, dataset).to("cuda")


def test_losses_and_gradients_are_those_of_the_cpu(small_config: MakeConfig, small_dataset: SequentialDataset) -> None:
    config, rows = small_config(), torch.arange(64)
    samples = small_dataset.train
    histories = left_padded(samples, rows, 10)
    batch = corrupt(histories, samples.length[rows], small_dataset.item_num, 0.3, torch.Generator().manual_seed(1))
    results = []
    for device in ("cpu", "cuda"):
        model = build(config, small_dataset).to(device)
        features = PretrainObjective(model, small_dataset, config).features
        moved = type(batch)(*(getattr(batch, name).to(device) for name in batch.__dataclass_fields__))
        loss = pretrain_losses(model, moved, features, None).total(config)
        loss.backward()
        gradients = {name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None}
        results.append((loss.item(), gradients))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    assert results[0][1].keys() == results[1][1].keys()
    for name, gradient in results[0][1].items():
        assert torch.allclose(gradient, results[1][1][name], rtol=1e-3, atol=1e-4), name


def test_scores_are_those_of_the_cpu(small_config: MakeConfig, small_dataset: SequentialDataset) -> None:
    config, rows = small_config(), torch.arange(32)
    samples = small_dataset.test
    histories, lengths = samples.padded(rows, 10), samples.length[rows]
    scores = [
        build(config, small_dataset).to(device).score_all(histories.to(device), lengths.to(device)).cpu()
        for device in ("cpu", "cuda")
    ]
    assert torch.allclose(*scores, atol=1e-5)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_a_step_never_waits_for_the_device(
    kind: Kind, small_config: MakeConfig, small_dataset: SequentialDataset
) -> None:
    config = small_config()
    objective = kind(on_gpu(config, small_dataset), small_dataset, config)
    optimizer = make_optimizer(objective.model.parameters(), config)
    rows = torch.arange(64, device="cuda")
    objective.begin_epoch(0)
    objective.backward(rows)  # the first step sets things up
    optimizer.step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            objective.backward(rows)
            optimizer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_training_learns_and_repeats(kind: Kind, small_config: MakeConfig, small_dataset: SequentialDataset) -> None:
    config, runs = small_config(), []
    for _ in range(2):
        model = on_gpu(config, small_dataset)
        objective = kind(model, small_dataset, config)
        optimizer = make_optimizer(model.parameters(), config)
        number = len(small_dataset.train)
        losses = [train_epoch(objective, optimizer, epoch, number, config).mean for epoch in range(4)]
        assert losses[-1] < losses[0]
        runs.append(losses)
    assert runs[0] == pytest.approx(runs[1], rel=1e-4)
