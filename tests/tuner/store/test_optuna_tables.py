"""Optuna's tables, read past Optuna."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from tuner.store.optuna_tables import _external


@pytest.mark.parametrize(
    ("distribution", "external"),
    [
        (CategoricalDistribution([None, True, 3, 0.5, "[1, 2]"]), "[1, 2]"),
        (CategoricalDistribution([False, 0]), False),
        (FloatDistribution(-1.0, 1.0), -0.25),
        (FloatDistribution(1e-5, 1e-2, log=True), 3e-4),
        (FloatDistribution(0.1, 0.9, step=0.2), 0.3),
        (IntDistribution(1, 64, log=True), 17),
    ],
)
def test_a_value_is_read_as_optuna_reads_it(distribution: BaseDistribution, external: Any) -> None:
    internal = distribution.to_internal_repr(external)
    found = _external(distribution_to_json(distribution), internal)
    assert found == distribution.to_external_repr(internal) == external
    assert type(found) is type(external)


def test_a_value_of_an_abbreviated_form_is_left_to_optuna() -> None:
    assert _external('{"type": "int", "low": 1, "high": 9}', 4.0) == 4
