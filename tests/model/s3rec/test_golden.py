"""S3Rec computes what RecBole computes: initial weights, losses, gradients, encodings, scores, whole trajectories."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from model.config import Config
from model.data import load_dataset
from model.registry import get_model
from model.run import start_run
from model.s3rec.corruption import PretrainBatch
from model.s3rec.network import S3Rec, build
from model.s3rec.objectives import FinetuneObjective, PretrainObjective, finetune_loss, pretrain_losses
from model.training import epoch_order, make_optimizer

TENSORS = (
    "masked_item_sequence", "pos_items", "neg_items", "masked_segment_sequence", "pos_segment", "neg_segment",
)  # fmt: skip


@pytest.fixture(params=["s3rec_tiny_l1", "s3rec_tiny_l2"], ids=["one layer", "two layers"])
def case(
    request: pytest.FixtureRequest, golden: Callable[[str], Any], tiny_config: Callable[..., Config]
) -> tuple[S3Rec, Config, Any, PretrainObjective]:
    wanted = golden(request.param)
    config = tiny_config(**wanted["config"])
    dataset = load_dataset(config)
    model = build(config, dataset)
    model.load_state_dict({name: torch.tensor(value) for name, value in wanted["state_dict"].items()})
    return model, config, wanted, PretrainObjective(model, dataset, config)


def gradient_norms(model: S3Rec) -> dict[str, float]:
    return {name: float(p.grad.norm()) if p.grad is not None else 0.0 for name, p in model.named_parameters()}


def test_names_shapes_and_their_order_are_those_of_the_peer(case: tuple[S3Rec, Config, Any, Any]) -> None:
    model, _, wanted, _ = case
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    assert list(shapes.items()) == list(wanted["state_dict_shapes"].items())


def test_pretraining_losses_and_gradients(case: tuple[S3Rec, Config, Any, PretrainObjective]) -> None:
    model, config, golden_case, objective = case
    wanted = golden_case["pretrain"]
    batch = PretrainBatch(*(torch.tensor(wanted["tensors"][name]) for name in TENSORS))
    losses = pretrain_losses(model, batch, objective.features, None)
    terms = {name: getattr(losses, name).item() for name in ("aap", "mip", "map", "sp")}
    assert terms == pytest.approx(wanted["loss_terms_unweighted"], rel=1e-5)
    total = losses.total(config)
    assert total.item() == pytest.approx(wanted["total"], rel=1e-5)
    total.backward()  # type: ignore[no-untyped-call]
    assert gradient_norms(model) == pytest.approx(wanted["grad_norms_total"], rel=1e-4, abs=1e-5)
    assert torch.allclose(
        model.feature_embedding.weight.grad, torch.tensor(wanted["grad_feature_embedding"]), atol=1e-4
    )


def test_attributes_of_the_batch(case: tuple[S3Rec, Config, Any, PretrainObjective]) -> None:
    wanted, objective = case[2]["pretrain"]["tensors"], case[3]
    assert objective.features[torch.tensor(wanted["pos_items"])].long().tolist() == wanted["features"]


def test_encodings_and_scores(case: tuple[S3Rec, Config, Any, Any]) -> None:
    model, _, golden_case, _ = case
    masked = torch.tensor(golden_case["pretrain"]["tensors"]["masked_item_sequence"])
    encoded = model.encode_pretraining(masked, None, last_only=False)
    expected = torch.tensor(golden_case["pretrain"]["sequence_output_masked_item"])
    assert torch.allclose(encoded[masked > 0], expected[masked > 0], atol=1e-5)
    wanted = golden_case["finetune_eval"]
    histories = torch.tensor(wanted["test_batch"]["item_id_list"])
    lengths = torch.tensor(wanted["test_batch"]["item_length"])
    scores = model.score_all(histories, lengths)
    assert torch.allclose(scores, torch.tensor(wanted["full_sort_predict"]), atol=1e-5)
    targets = torch.tensor(wanted["test_batch"]["item_id"])
    on_target = model.score(histories, lengths, targets[:, None])[:, 0]
    assert torch.allclose(on_target, torch.tensor(wanted["predict_on_target"]), atol=1e-5)


@pytest.mark.parametrize("loss_type", ["CE", "BPR"])
def test_finetuning_losses_and_gradients(case: tuple[S3Rec, Config, Any, Any], loss_type: str) -> None:
    model, _, golden_case, _ = case
    wanted, batch = golden_case["finetune"][loss_type], golden_case["batch"]
    targets = torch.tensor(batch["item_id"])
    negatives = torch.tensor(wanted["neg_item_id"])[:, None] if loss_type == "BPR" else None
    encoded = model.encode_history(torch.tensor(batch["item_id_list"]), torch.tensor(batch["item_length"]))
    loss = finetune_loss(model, encoded, targets, negatives) / len(targets)
    assert loss.item() == pytest.approx(wanted["loss"], rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    norms = {name: value or 0.0 for name, value in wanted["grad_norms"].items()}
    assert gradient_norms(model) == pytest.approx(norms, rel=1e-4, abs=1e-6)


class PeerDraws:
    """What RecBole draws from Python's generator for a pretraining batch, in its order; rows not yet padded."""

    def __init__(self, seed: int, mask_token: int, ratio: float) -> None:
        self._random, self._mask, self._ratio = random.Random(seed), mask_token, ratio

    def batch(self, histories: Sequence[list[int]], width: int) -> PretrainBatch:
        masked, negatives = zip(*(self._mask_items(history) for history in histories), strict=True)
        pool = [item for history in histories for item in history]
        segments = zip(*(self._segments(history, pool) for history in histories), strict=True)
        columns = (masked, histories, negatives, *segments)
        return PretrainBatch(*(torch.tensor([[0] * (width - len(r)) + list(r) for r in rows]) for rows in columns))

    def _mask_items(self, history: list[int]) -> tuple[list[int], list[int]]:
        masked, negatives = list(history), list(history)
        for place in range(len(history)):
            if self._random.random() < self._ratio:
                masked[place] = self._mask
                negatives[place] = self._random.randint(1, self._mask)
                while negatives[place] in history:
                    negatives[place] = self._random.randint(1, self._mask)
        return masked, negatives

    def _segments(self, history: list[int], pool: list[int]) -> tuple[list[int], list[int], list[int]]:
        if len(history) < 2:
            return history, history, history
        size = self._random.randint(1, len(history) // 2)
        start = self._random.randint(0, len(history) - size)
        other = self._random.randint(0, len(pool) - size)
        before, after = [self._mask] * start, [self._mask] * (len(history) - start - size)
        return (
            history[:start] + [self._mask] * size + history[start + size :],
            before + history[start : start + size] + after,
            before + pool[other : other + size] + after,
        )


def test_initial_weights_and_data_order_and_a_pretraining_follow_the_peer(
    golden: Callable[[str], Any], tiny_config: Callable[..., Config]
) -> None:
    trajectory = golden("trajectories")
    config = tiny_config(**trajectory["overrides"], aap_weight=0.2, mip_weight=1.0)
    dataset = load_dataset(config)
    model = build(config, dataset)
    for name, wanted in trajectory["init_sums"].items():
        assert model.state_dict()[name].double().sum().item() == pytest.approx(wanted["sum"], abs=1e-9), name
    run = trajectory["runs"]["pretrain"]
    orders = [epoch_order(2020, epoch, len(dataset.train)).split(16) for epoch in range(2)]
    assert [rows.tolist() for order in orders for rows in order] == run["batch_indices"]
    objective, optimizer = PretrainObjective(model, dataset, config), make_optimizer(model.parameters(), config)
    draws = PeerDraws(2020, model.mask_token, config["mask_ratio"])
    losses = []
    for rows in run["batch_indices"]:
        index = torch.tensor(rows)
        padded = dataset.train.padded(index, model.max_length).tolist()
        histories = [[item for item in row if item] for row in padded]
        optimizer.zero_grad()
        batch = draws.batch(histories, model.max_length)
        loss = pretrain_losses(model, batch, objective.features, None).total(config)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == pytest.approx(run["batch_losses"], rel=2e-5)
    for name, total in run["final_sums"].items():
        assert model.state_dict()[name].double().sum().item() == pytest.approx(total, abs=2e-4), name


@pytest.mark.parametrize(
    "name", ["finetune_CE", "finetune_CE_earlystop", "finetune_CE_lr0_ties", "finetune_CE_clip_sgd"]
)
def test_finetuning_follows_the_peer_epoch_by_epoch(
    golden: Callable[[str], Any], tiny_config: Callable[..., Config], name: str
) -> None:
    trajectory = golden("trajectories")
    wanted = trajectory["runs"][name]
    settings = {**trajectory["overrides"], **wanted["overrides"], "aap_weight": 0.2, "mip_weight": 1.0}
    config = tiny_config(**settings)
    dataset = load_dataset(config)
    run = start_run(get_model("S3Rec"), "finetune", config, dataset)
    run.model.load_state_dict(_pretrained(trajectory, tiny_config))
    scores, losses = [], []
    while not run.finished:
        report = run.run_epoch()
        losses.append(report.loss)
        if report.valid_score is not None:
            scores.append([report.epoch - 1, report.valid_score])
    assert losses == pytest.approx(wanted["epoch_loss"], rel=1e-4)
    assert scores == wanted["valid_scores"]
    result = run.result()
    assert (result.best_valid_score, result.best_valid_result) == (
        wanted["best_valid_score"], wanted["best_valid_result"],
    )  # fmt: skip
    assert result.test_result == wanted["test_result"]
    assert result.best_epoch == wanted["checkpoint_epoch"] + 1


def _pretrained(trajectory: Any, tiny_config: Callable[..., Config]) -> dict[str, Tensor]:
    """The weights that the peer's finetuning starts from: its pretraining, replayed."""
    config = tiny_config(**trajectory["overrides"], aap_weight=0.2, mip_weight=1.0)
    dataset = load_dataset(config)
    model = build(config, dataset)
    objective, optimizer = PretrainObjective(model, dataset, config), make_optimizer(model.parameters(), config)
    draws = PeerDraws(2020, model.mask_token, config["mask_ratio"])
    for rows in trajectory["runs"]["pretrain"]["batch_indices"]:
        padded = dataset.train.padded(torch.tensor(rows), model.max_length).tolist()
        batch = draws.batch([[item for item in row if item] for row in padded], model.max_length)
        optimizer.zero_grad()
        pretrain_losses(model, batch, objective.features, None).total(config).backward()
        optimizer.step()
    return model.state_dict()


def test_micro_batches_give_the_gradient_of_the_whole_batch(
    case: tuple[S3Rec, Config, Any, PretrainObjective], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, config, _, objective = case
    finetuning = FinetuneObjective(model, load_dataset(config), config)
    rows = torch.arange(12)
    for part in (objective, finetuning):
        gradients = []
        for tokens in (8, 100_000):
            monkeypatch.setattr(part, "tokens", tokens)
            model.zero_grad()
            part.begin_epoch(0)
            loss = part.backward(rows)
            gradients.append((loss.item(), gradient_norms(model)))
        assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
        assert gradients[0][1] == pytest.approx(gradients[1][1], rel=1e-4, abs=1e-6)
