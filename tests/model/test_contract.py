"""Every model that ships holds the contract that authors of others are offered; a new one is asked for here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model import registry
from model.popularity import DEFINITION
from model.popularity.recommender import Popularity
from model.testing import ModelContract


class TestS3Rec(ModelContract):
    model = "S3Rec"
    settings: Mapping[str, Any] = {"hidden_size": 16, "inner_size": 16, "n_layers": 1, "stopping_step": 10}


class TestSurge(ModelContract):
    model = "SURGE"
    settings: Mapping[str, Any] = {
        "embedding_size": 8,
        "pool_length": 4,
        "att_fcn_layer_sizes": [8, 4],
        "layer_sizes": [8],
        "dropout_prob": 0.1,
    }


class TestSurgeAsInThePaper(TestSurge):
    settings: Mapping[str, Any] = {**TestSurge.settings, "surge_variant": "paper"}


class TestPopularity(ModelContract):
    model = "Popularity"


def test_every_shipped_model_is_tested_here() -> None:
    tested = {contract.model for contract in (TestS3Rec, TestSurge, TestPopularity)}
    assert tested == set(registry.BUILT_IN)


class _Forgetful(Popularity):
    """Its score of chosen items is not the one among all."""

    def score(self, histories: Tensor, lengths: Tensor, candidates: Tensor) -> Tensor:
        return super().score(histories, lengths, candidates) + 1


class _Crowded(Popularity):
    """A history's scores depend on the others of the batch."""

    def score_all(self, histories: Tensor, lengths: Tensor) -> Tensor:
        return super().score_all(histories, lengths) * len(histories)


@pytest.fixture
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModelContract:
    """The contract over a model with a fault, registered for the length of a test."""

    def build(config: Any, dataset: Any) -> Popularity:
        return request.param(torch.bincount(dataset.train.target, minlength=dataset.item_num).float())

    faulty = replace(DEFINITION, build=build)
    monkeypatch.setattr("model.testing.get_model", lambda _: faulty)
    contract = ModelContract()
    contract.model = "Popularity"  # type: ignore[misc]
    return contract


@pytest.mark.parametrize("broken", [_Forgetful], indirect=True)
def test_it_notices_two_ways_to_one_score_that_differ(broken: ModelContract, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        broken.test_a_score_is_its_column_of_all_scores(tmp_path)


@pytest.mark.parametrize("broken", [_Crowded], indirect=True)
def test_it_notices_scores_that_depend_on_the_rest_of_the_batch(broken: ModelContract, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        broken.test_scores_are_finite_and_each_historys_own(tmp_path)
