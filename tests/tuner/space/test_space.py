"""Spaces: sizes, Optuna's view of them, values for the configuration, JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution

from tuner import space
from tuner.errors import SpaceError
from tuner.space import SearchSpace, SpaceParameter

# A loaded machine is no failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

names = st.from_regex(r"[a-z_][a-z0-9_]{0,12}(\.[a-z_][a-z0-9_]{0,12})?", fullmatch=True)
finite = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: x + 0.0)
scalars = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | finite | st.text("ab[]'\"\\ é#", max_size=6)
options = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=2),
    max_leaves=4,
)


def distinct(values: list[Any]) -> list[Any]:
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


@st.composite
def parameters(draw: st.DrawFn) -> SpaceParameter:
    name = draw(names)
    kind = draw(st.sampled_from(space.PARAMETER_TYPES))
    if kind == "choice":
        return SpaceParameter(name, "choice", tuple(distinct(draw(st.lists(options, min_size=1, max_size=5)))))
    limit = 20.0 if kind == "loguniform" else 1e6
    low, high = sorted(draw(st.tuples(st.floats(-limit, limit), st.floats(-limit, limit))))
    if kind == "quniform":
        q = draw(st.sampled_from([0.1, 0.25, 1.0, 3.0, 10.0]))
        return SpaceParameter(name, "quniform", low=low, high=min(high, low + 20 * q), q=q)
    return SpaceParameter(name, kind, low=low, high=high)


spaces = st.lists(parameters(), min_size=1, max_size=4, unique_by=lambda p: p.name).map(
    lambda found: SearchSpace(tuple(found))
)


@given(spaces)
def test_json_round_trip(found: SearchSpace) -> None:
    document = json.loads(json.dumps(found.to_json()))
    assert SearchSpace.from_json(document).to_json() == found.to_json()


@given(spaces)
def test_optuna_keeps_distributions_and_values(found: SearchSpace) -> None:
    for parameter in found.parameters:
        stored = optuna.distributions.distribution_to_json(parameter.distribution)
        assert optuna.distributions.json_to_distribution(stored) == parameter.distribution
        if parameter.type == "choice":
            for label, option in zip(parameter.represented(), parameter.values, strict=True):
                back = parameter.distribution.to_external_repr(parameter.distribution.to_internal_repr(label))
                assert parameter.value(back) == option
                assert type(parameter.value(back)) is type(option)


@given(spaces, st.integers(0, 2**31))
def test_sampled_values_are_inside(found: SearchSpace, seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    params = study.ask(fixed_distributions=found.distributions()).params
    for name, value in found.values(params).items():
        effective = found[name].effective_range
        if effective is not None:
            low, high = effective
            assert low - 1e-9 * abs(low) <= value <= high + 1e-9 * abs(high)


@given(st.lists(st.lists(options, min_size=1, max_size=4).map(distinct), min_size=1, max_size=3))
def test_combinations_are_all_and_different(choices: list[list[Any]]) -> None:
    found = SearchSpace(tuple(SpaceParameter(f"p{i}", "choice", tuple(c)) for i, c in enumerate(choices)))
    combinations = [json.dumps(found.values(c), sort_keys=True) for c in found.combinations()]
    assert len(combinations) == len(set(combinations)) == found.size


@given(st.lists(scalars | st.lists(scalars, max_size=2), min_size=1, max_size=4).map(distinct))
def test_choices_survive_being_written_and_read(values: list[Any]) -> None:
    assert space.parse(f"p choice {written(values)}")["p"].to_json()["values"] == values


def written(value: Any) -> str:
    """The value as in a params file, where a space in a text needs an escape."""
    if isinstance(value, list):
        return "[" + ",".join(written(member) for member in value) + "]"
    return repr(value).replace(" ", r"\x20") if isinstance(value, str) else repr(value)


def test_the_documented_json() -> None:
    found = space.parse("pretrain_epochs choice [50, 100, 150]\nlearning_rate loguniform -8,0\nd quniform 1,4,1")
    assert found.to_json() == {
        "parameters": [
            {"name": "pretrain_epochs", "type": "choice", "values": [50, 100, 150]},
            {"name": "learning_rate", "type": "loguniform", "low": -8.0, "high": 0.0},
            {"name": "d", "type": "quniform", "low": 1.0, "high": 4.0, "q": 1.0},
        ],
        "size": None,
    }
    assert list(found.to_json()["parameters"][2]) == ["name", "type", "low", "high", "q"]


def test_size_counts_choices_and_steps() -> None:
    assert space.parse("a choice [1,2,3]\nb quniform 0,1,0.25\n").size == 15
    assert space.parse("a choice [1,2,3]\nb uniform 0,1\n").size is None


def test_quniform_is_recboles_lattice() -> None:
    # round(U/q)*q leaves [low, high]: 0.4 rounds to 0, 1.6 to 2.
    parameter = SpaceParameter("a", "quniform", low=0.4, high=1.6, q=1.0)
    assert list(parameter.represented()) == [0.0, 1.0, 2.0]
    tenths = SpaceParameter("a", "quniform", low=0.1, high=0.3, q=0.1)
    assert [tenths.value(v) for v in tenths.represented()] == [0.1, 0.2, 3 * 0.1]
    assert tenths.distribution == FloatDistribution(0.1, 0.3, step=0.1)


@pytest.mark.parametrize(
    ("bounds", "values"),
    [
        ("0.5,3.5,1", [1, 2, 3]),
        ("0.05,0.35,0.1", [0.1, 0.2, 3 * 0.1]),
        ("-1.5,1.5,1", [-1, 0, 1]),
        ("-0.15,-0.05,0.1", [-0.1]),
        ("2.5,7.5,5", [5]),
        ("0.49,3.51,1", [0, 1, 2, 3, 4]),
        ("1.05,1.15,0.1", [11 * 0.1]),
        ("0.5,0.5,1", [0]),
        ("1.5,1.5,1", [2]),
        ("1e-7,5e-7,2e-7", [2e-7, 4e-7]),
        ("0.00005,0.00035,0.0001", [0.0001, 0.0002, 3 * 0.0001]),
    ],
)
def test_bounds_on_half_steps_belong_to_the_multiple_inside(bounds: str, values: list[float]) -> None:
    parameter = space.parse(f"a quniform {bounds}")["a"]
    assert [parameter.value(represented) for represented in parameter.represented()] == values
    assert parameter.size == len(values)
    assert parameter.effective_range == (values[0], values[-1])
    assert parameter.distribution.single() == (len(values) == 1)


def test_steps_that_no_number_can_tell_apart_are_refused() -> None:
    for bounds in ("0,1e308,1e-5", "1e300,2e300,1", "0,1,5e-324"):
        with pytest.raises(SpaceError, match="too small"):
            space.parse(f"a quniform {bounds}")
    with pytest.raises(SpaceError, match="too wide"):
        space.parse("a uniform -1e308,1e308")


def test_loguniform_bounds_are_exponents() -> None:
    distribution = SpaceParameter("a", "loguniform", low=-8.0, high=0.0).distribution
    assert isinstance(distribution, FloatDistribution)
    assert (distribution.low, distribution.high, distribution.log) == (math.exp(-8), 1.0, True)


def test_options_that_are_equal_to_python_are_told_apart() -> None:
    parameter = SpaceParameter("a", "choice", (1, True, 1.0))
    assert parameter.distribution == CategoricalDistribution(("1", "true", "1.0"))
    assert [type(parameter.value(label)) for label in ("1", "true", "1.0")] == [int, bool, float]


def test_lists_reach_optuna_as_json_and_the_configuration_as_lists() -> None:
    parameter = SpaceParameter("a", "choice", ([64, 64], [128]))
    assert parameter.distribution == CategoricalDistribution(("[64, 64]", "[128]"))
    assert parameter.value("[64, 64]") == [64, 64]


def test_a_continuous_parameter_has_no_combinations() -> None:
    with pytest.raises(SpaceError, match="learning_rate"):
        list(space.parse("a choice [1]\nlearning_rate loguniform -8,0").combinations())


def test_last_parameter_varies_fastest() -> None:
    found = space.parse("a choice [1,2]\nb choice ['x','y']")
    assert [tuple(c.values()) for c in found.combinations()] == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"parameters": [{}]},
        {"parameters": [{"name": "a", "type": "normal"}]},
        {"parameters": [{"name": "a", "type": ["choice"], "values": [1]}]},
        {"parameters": [{"name": "a", "type": "uniform", "low": 0}]},
        {"parameters": [{"name": "a", "type": "uniform", "low": 0, "high": "1"}]},
        {"parameters": [{"name": "a", "type": "choice", "values": "abc"}]},
        {"parameters": [{"name": "a", "type": "choice", "values": [1], "low": 2}]},
        {"parameters": [{"name": "a", "type": "choice", "values": [1]}] * 2},
    ],
)
def test_malformed_json_is_a_space_error(document: Any) -> None:
    with pytest.raises(SpaceError):
        SearchSpace.from_json(document)


def test_values_must_be_those_of_the_space() -> None:
    found = space.parse("a choice [1,2]\nb uniform 0,1")
    for params in ({"a": 1}, {"a": 1, "b": 0.5, "c": 1}, {"a": 3, "b": 0.5}, {"a": 1, "b": "x"}):
        with pytest.raises(SpaceError):
            found.values(params)


@pytest.mark.parametrize(
    ("parameter", "outside"),
    [
        (SpaceParameter("a", "choice", (1, True, "1", [1, 2], {"b": 1}, None, 0.5)), [2, False, "2", [2, 1]]),
        (SpaceParameter("a", "quniform", low=0.2, high=0.6, q=0.1), [0.25, 0.7, "0.2", True]),
        (SpaceParameter("a", "quniform", low=8.0, high=64.0, q=8.0), [0, 12, 72]),
        (SpaceParameter("a", "uniform", low=0.5, high=0.5), [0.4]),
    ],
)
def test_values_are_represented_as_they_were_before(parameter: SpaceParameter, outside: list[object]) -> None:
    for represented in parameter.represented():
        again = parameter.representation(parameter.value(represented))
        assert (again, type(again)) == (represented, type(represented))
    for value in outside:
        with pytest.raises(SpaceError, match="outside the search space"):
            parameter.representation(value)
