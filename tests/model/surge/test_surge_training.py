"""Gradients, penalties and whether it learns."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.config import Config, load_config
from model.data import SequentialDataset, load_dataset, synthetic
from model.errors import ConfigError
from model.layers import Noise
from model.negatives import NegativeSampler
from model.surge.objectives import TrainObjective
from model.surge.parameters import review
from model.surge.recommender import Surge, build
from model.training import make_optimizer

VARIANTS = ["released", "paper"]
SMALL = {
    "embedding_size": 8,
    "hidden_size": 6,
    "pool_length": 4,
    "att_fcn_layer_sizes": [10, 7],
    "layer_sizes": [9, 5],
    "MAX_ITEM_LIST_LENGTH": 12,
    "metric_heads": 2,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    synthetic.write(folder, users=30, items=24, classes=4, events=12, seed=5)
    return folder


def config_of(folder: Path, **values: object) -> Config:
    return load_config("SURGE", "synthetic", config_dict={**SMALL, "data_path": str(folder), **values})


def prepared(folder: Path, **values: object) -> tuple[Surge, TrainObjective, SequentialDataset, Config]:
    config = config_of(folder, **values)
    dataset = load_dataset(config)
    model = build(config, dataset).train()
    objective = TrainObjective(model, dataset, config)
    objective.begin_epoch(0)
    return model, objective, dataset, config


@pytest.mark.parametrize("changes", [{}, {"attention_heads": 2, "batch_norm": "none", "loss_type": "bce"}])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_learns_from_one_batch(folder: Path, variant: str, changes: dict) -> None:
    model, objective, _, _ = prepared(folder, surge_variant=variant, item_attribute="class", layer_l2=0.0, **changes)
    with torch.no_grad():
        model.network.embedding.items.weight.mul_(25)
    objective.backward(torch.arange(64))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 1e-9, name


def test_an_untrained_metric_is_no_parameter(folder: Path) -> None:
    model, objective, _, config = prepared(folder, metric_grad="none")
    objective.backward(torch.arange(64))
    metric = model.network.graph.metric
    assert metric.grad is None
    assert torch.equal(metric, torch.ones_like(metric))
    chosen = {id(p) for group in make_optimizer(model.parameters(), config).param_groups for p in group["params"]}
    assert id(metric) not in chosen


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_equal_finite_differences(make_network, variant: str) -> None:
    network = make_network(variant, width=4, hidden=3, longest=5, pool_length=3, metric_trained=False, items=9)
    network = network.double().eval()
    rows, lengths, items = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([5]), torch.tensor([[6, 7]])
    parameters = list(network.parameters())

    def scores(*_: Tensor) -> Tensor:
        return network.score(network.context(rows, lengths), items)

    assert torch.autograd.gradcheck(scores, parameters, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_row_of_the_padding_stays_zero(folder: Path, variant: str) -> None:
    model, objective, _, config = prepared(folder, surge_variant=variant, item_attribute="class")
    optimizer = make_optimizer(model.parameters(), config)
    for step in range(5):
        optimizer.zero_grad()
        objective.backward(torch.arange(step * 20, step * 20 + 20))
        optimizer.step()
    embedding = model.network.embedding
    assert not embedding.items.weight[0].any()
    assert not embedding.attribute_embedding.weight[0].any()
    assert embedding.items.weight[1:].any(dim=1).all()


def test_rows_of_items_that_no_batch_touches_stay_as_they_are(folder: Path) -> None:
    model, objective, _, config = prepared(
        folder, embed_l2=1e-2, train_neg_sample_args={"sample_num": 1}, att_fcn_layer_sizes=[4], layer_sizes=[4]
    )
    rows = torch.arange(2)
    objective.begin_epoch(0)
    drawn = objective.negatives(objective.samples.target[rows], objective.draws)
    table = model.network.embedding.items.weight
    before = table.detach().clone()
    seen = set(objective.samples.padded(rows, 12).flatten().tolist()) | set(objective.samples.target[rows].tolist())
    seen |= set(drawn.flatten().tolist())
    optimizer = make_optimizer(model.parameters(), config)
    for _ in range(1000):
        objective.begin_epoch(0)  # the same negatives every time
        optimizer.zero_grad()
        objective.backward(rows)
        optimizer.step()
    untouched = [item for item in range(1, len(table)) if item not in seen]
    assert untouched
    assert torch.equal(table[untouched], before[untouched])
    assert not torch.equal(table[sorted(seen - {0})], before[sorted(seen - {0})])


def test_micro_batches_without_batch_norm_give_the_gradient_of_the_whole(folder: Path) -> None:
    gradients = []
    for size in (7, 64):
        model, objective, _, _ = prepared(folder, surge_variant="paper", batch_norm="none", micro_batch_size=size)
        loss = objective.backward(torch.arange(40))
        gradients.append([loss, *(p.grad for p in model.parameters())])
    for few, whole in zip(*gradients, strict=True):
        torch.testing.assert_close(few, whole, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_32_samples_can_be_learned_by_heart(folder: Path, variant: str) -> None:
    model, objective, dataset, config = prepared(folder, surge_variant=variant, learning_rate=0.01, embedding_size=16)
    dataset = replace(dataset, train=dataset.train.select(torch.arange(0, len(dataset.train), 5)[:32]))
    objective = TrainObjective(model, dataset, config)
    optimizer = make_optimizer(model.parameters(), config)
    losses = []
    for epoch in range(300):
        objective.begin_epoch(epoch)
        optimizer.zero_grad()
        losses.append(objective.backward(torch.arange(32)).item())
        optimizer.step()
        if max(losses[-5:]) < 0.05 and epoch > 5:
            break
    assert sum(losses[-5:]) / 5 < 0.05


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_first_loss_is_that_of_guessing(folder: Path, variant: str) -> None:
    values = {"same_mapping_weight": 0.0, "single_affiliation_weight": 0.0, "relative_position_weight": 0.0}
    model, objective, _, _ = prepared(folder, surge_variant=variant, **values)
    rows = torch.arange(200)
    assert objective.backward(rows).item() == pytest.approx(math.log(5), abs=0.6)
    # With the running statistics of the start the layers are not stretched to unit variance.
    model.eval()
    assert objective.backward(rows).item() == pytest.approx(math.log(5), abs=0.02)


def test_dropout_is_drawn_from_its_own_stream(folder: Path) -> None:
    model, objective, _, _ = prepared(folder, dropout_prob=0.5)
    rows, state = torch.arange(20), torch.get_rng_state()
    objective.begin_epoch(3)
    first = objective.backward(rows)
    objective.begin_epoch(3)
    again = objective.backward(rows)
    objective.begin_epoch(4)
    other = objective.backward(rows)
    assert first == again != other
    assert torch.equal(state, torch.get_rng_state()), "the global generator is left alone"
    histories, lengths = objective.samples.padded(rows, 12), objective.samples.length[rows]
    model.eval()
    with torch.no_grad():
        noisy = model.network.context(histories, lengths, Noise(torch.Generator())).nodes
        assert torch.equal(noisy, model.network.context(histories, lengths).nodes)


def test_popular_negatives_are_discounted(folder: Path) -> None:
    config = config_of(folder, train_neg_sample_args={"distribution": "popularity", "sample_num": 8})
    dataset = load_dataset(config)
    sampler = NegativeSampler(dataset, config["train_neg_sample_args"], torch.device("cpu"))
    targets = torch.full((4000,), int(dataset.train.target[0]))
    drawn = sampler(targets, torch.Generator().manual_seed(0))
    assert not (drawn == targets[:, None]).any()
    counts = torch.bincount(drawn.flatten(), minlength=dataset.item_num).double()
    items = torch.arange(1, dataset.item_num)
    share = sampler.log_share(items).double().exp()
    assert share.sum() == pytest.approx(1.0, abs=1e-6)
    others = items != targets[0]
    expected = share[others] / share[others].sum()
    torch.testing.assert_close((counts[1:] / counts.sum())[others], expected, atol=0.01, rtol=0)


def test_one_seed_gives_one_model(folder: Path) -> None:
    config = config_of(folder)
    dataset = load_dataset(config)
    first, again, other = build(config, dataset), build(config, dataset), build(config.replace({"seed": 1}), dataset)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(first.network.embedding.items.weight, other.network.embedding.items.weight)


def test_a_pool_longer_than_the_history_is_refused(folder: Path) -> None:
    config = config_of(folder, pool_length=13)
    with pytest.raises(ConfigError, match=r"pool_length = 13.*MAX_ITEM_LIST_LENGTH, which is 12"):
        build(config, load_dataset(config))


def test_more_than_one_pooling_layer_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="pool_layers"):
        config_of(folder, pool_layers=2)


def test_keys_without_effect_are_named(folder: Path) -> None:
    idle = review(config_of(folder, metric_grad="none"))
    assert "'paper'" in idle["same_mapping_weight"]
    assert {"position_reg", "assign_position", "metric_heads", "attribute_embedding_size"} < set(idle)
    assert review(config_of(folder, surge_variant="paper", item_attribute="class")) == {}
    without = review(config_of(folder, surge_variant="paper", item_attribute="class", relative_position_weight=0.0))
    assert list(without) == ["position_reg"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_keys_without_effect_change_no_bit(folder: Path, variant: str) -> None:
    """What the review calls idle is: another value leaves weights, loss and gradients as they are."""
    values = {"surge_variant": variant, "metric_grad": "none"}
    other = {
        "assign_position": False,
        "same_mapping_weight": 0.7,
        "single_affiliation_weight": 0.7,
        "relative_position_weight": 0.7,
        "position_reg": "literal",
        "metric_heads": 3,
        "attribute_embedding_size": 5,
    }
    idle = review(config_of(folder, **values))
    seen = []
    for changes in ({}, {key: value for key, value in other.items() if key in idle}):
        model, objective, _, _ = prepared(folder, **values, **changes)
        loss = objective.backward(torch.arange(40))
        seen.append([loss, *(p for p in model.parameters()), *(p.grad for p in model.parameters())])
    for one, same in zip(*seen, strict=True):
        assert torch.equal(one, same)


def test_a_partial_sampling_setting_keeps_the_models_own_number(folder: Path) -> None:
    config = config_of(folder, train_neg_sample_args={"distribution": "popularity"})
    assert config["train_neg_sample_args"]["sample_num"] == 4
