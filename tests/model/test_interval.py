"""Intervals are read as RecBole reads them; what it can't read is refused with the form that was meant."""

from __future__ import annotations

import numpy as np
import pytest

from model.config import load_config
from model.errors import ConfigError
from model.interval import Interval


@pytest.mark.parametrize(
    ("written", "inside"),
    [
        ("[2,4)", [2, 3]), ("(2,4]", [3, 4]), ("[2,inf)", [2, 3, 4, 5]), ("(-inf, 2]", [0, 1, 2]),
        ("[0,1);[3,3]", [0, 3]), ("[3,3];", [3]), (" [ 2 , 3 ] ", [2, 3]), ([2, 4], [2, 3, 4]), ((2, 4), [3]),
        ("[1e0,2.5]", [1, 2]), (None, [0, 1, 2, 3, 4, 5]),
    ],
)  # fmt: skip
def test_intervals_hold_what_they_say(written: object, inside: list[int]) -> None:
    values = np.arange(6.0)
    assert values[Interval.parse(written, "key").contains(values)].tolist() == inside


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (5, "'[5,inf)' for at least 5"), ("5", "'[5,inf)' for at least 5"), (2.5, "'[2.5,inf)'"), ("5,10", "'[5,10]'"),
        ("[5,inf", "'[5,inf)'"), ("5,inf)", "'[5,inf)'"), ("[5,)", "'[5,inf)'"), ("[,5]", "'[0,5]'"),
        ("[5]", "'[5,inf)'"), (">=5", "'[5,inf)'"), ("<=5", "'[0,5]'"), ("[10,5]", "'[5,10]'"), ([10, 5], "'[5,10]'"),
        ("(5,5]", "'[5,5]'"), ("[5,5)", "'[5,5]'"), ("[nan,5]", "'[5,inf)'"), ("[1,2,3]", "'[5,inf)', for example"),
        ([3, 4, 5], "'[5,inf)', for example"), ([5, "inf"], "'[5,inf)'"), ([5], "'[5,inf)'"),
        ("[inf,inf]", "'[5,inf)', for"),
        ("", "'[5,inf)', for"), (";", "'[5,inf)', for"), (True, "'[5,inf)', for"), ({"low": 5}, "'[5,inf)'"),
        ("[1,2);[5", "'[5,inf)'"), ("{2,3}", "'[2,3]'"), ("[a,b]", "'[5,inf)', for"), ("none at all", "'[5,inf)', for"),
    ],
)  # fmt: skip
def test_what_is_none_is_refused_with_what_was_meant(written: object, meant: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Interval.parse(written, "some_key")
    assert str(refused.value).startswith(f"some_key = {written!r}")
    assert f"Write {meant}" in str(refused.value)


@pytest.mark.parametrize("key", ["user_inter_num_interval", "item_inter_num_interval"])
def test_filters_are_checked_with_the_configuration(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"{key} = 5 is no interval\. Write '\[5,inf\)'"):
        load_config("S3Rec", "d", config_dict={key: 5})
    assert load_config("S3Rec", "d", command_line=[f"--{key}=[2,6]"])[key] == [2, 6]  # the text, as it is read
