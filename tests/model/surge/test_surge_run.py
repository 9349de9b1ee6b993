"""SURGE through the same runs, checkpoints and evaluation as every model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.baseline import baseline
from model.config import Config, load_config
from model.data import load_dataset, synthetic
from model.evaluation import evaluate
from model.registry import get_model, model_names
from model.run import StageRun, start_run

SMALL = {
    "embedding_size": 16,
    "pool_length": 5,
    "att_fcn_layer_sizes": [16, 8],
    "layer_sizes": [16],
    "MAX_ITEM_LIST_LENGTH": 10,
    "learning_rate": 0.005,
    "train_batch_size": 256,
    "dropout_prob": 0.1,
    "item_attribute": "class",
    "valid_metric": "NDCG@10",
    "epochs": 8,
    "use_gpu": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    synthetic.write(folder, users=120, items=40, classes=4, events=12, seed=5)
    return folder


def config_of(folder: Path, **values: object) -> Config:
    return load_config("SURGE", "synthetic", config_dict={**SMALL, "data_path": str(folder), **values})


def run_of(config: Config) -> StageRun:
    return start_run(get_model("SURGE"), "train", config, load_dataset(config))


def test_it_is_registered_with_one_stage() -> None:
    assert "SURGE" in model_names()
    (stage,) = get_model("SURGE").stages
    assert (stage.name, stage.epochs_key, stage.validates) == ("train", "epochs", True)


@pytest.mark.parametrize("variant", ["released", "paper"])
def test_it_beats_popularity_on_planted_structure(folder: Path, variant: str) -> None:
    config = config_of(folder, surge_variant=variant)
    run = run_of(config)
    while not run.finished:
        run.run_epoch()
    popularity = baseline(config, load_dataset(config))
    result = run.result()
    assert result.best_valid_score > 1.3 * popularity["valid"]["ndcg@10"]
    assert result.test_result["ndcg@10"] > 1.3 * popularity["test"]["ndcg@10"]


@pytest.mark.parametrize("variant", ["released", "paper"])
def test_a_resumed_run_ends_with_the_same_bits(folder: Path, tmp_path: Path, variant: str) -> None:
    config = config_of(folder, surge_variant=variant, epochs=3)
    whole = run_of(config)
    reports = [whole.run_epoch() for _ in range(3)]
    first = run_of(config)
    first.run_epoch()
    first.save(tmp_path / "run.pth")
    torch.manual_seed(12345)  # global state is no part of a run
    second = run_of(config)
    second.resume(tmp_path / "run.pth")
    again = [second.run_epoch() for _ in range(2)]
    assert [(r.loss, r.valid_result) for r in again] == [(r.loss, r.valid_result) for r in reports[1:]]
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


def test_sampled_evaluation_ranks_among_the_drawn_items(folder: Path) -> None:
    full, few = config_of(folder), config_of(folder, eval_args={"mode": "uni5"})
    dataset = load_dataset(full)
    model = get_model("SURGE").build(full, dataset)
    easy, hard = evaluate(model, dataset, "valid", few), evaluate(model, dataset, "valid", full)
    assert easy["recall@10"] == 1.0, "the target and 5 others fit into a list of 10"
    assert hard["recall@10"] < 1.0


@pytest.mark.parametrize("variant", ["released", "paper"])
def test_sampling_all_items_measures_what_a_full_ranking_does(folder: Path, variant: str) -> None:
    # 1,000 draws of 39 items leave none out; repeated ones count once.
    full, sampled = (
        config_of(folder, surge_variant=variant, valid_users=20, eval_args={"mode": mode})
        for mode in ("full", "uni1000")
    )
    dataset = load_dataset(full)
    model = get_model("SURGE").build(full, dataset)
    assert evaluate(model, dataset, "valid", sampled) == evaluate(model, dataset, "valid", full)


def test_keys_that_do_not_shape_weights_leave_the_stage_alone(folder: Path) -> None:
    definition = get_model("SURGE")
    own = {parameter.name for parameter in definition.parameters if not parameter.stages}
    assert own == {"score_memory"}


def test_a_batch_can_be_interrupted_between_two_of_its_parts(folder: Path) -> None:
    class Interrupted(Exception):
        pass

    checked: list[int] = []

    def interrupt() -> None:
        checked.append(1)
        if len(checked) == 3:
            raise Interrupted

    run = run_of(config_of(folder, train_batch_size=100_000, micro_batch_size=16))
    with pytest.raises(Interrupted):
        run.run_epoch(lambda *_: pytest.fail("the batch came to its end"), interrupt)
