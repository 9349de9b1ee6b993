"""The hyper.test format: what RecBole reads is read the same, what it drops or runs is explained."""

from __future__ import annotations

import math

import pytest

from tuner import space
from tuner.errors import SpaceError
from tuner.space import SearchSpace


def read(text: str) -> SearchSpace:
    return space.parse(text, "hyper.test")


def declared(text: str) -> dict[str, list[object]]:
    return {
        p.name: [p.type, *(p.values or [bound for bound in (p.low, p.high, p.q) if bound is not None])]
        for p in read(text).parameters
    }


# What RecBole 1.2.1 makes of these files.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pretrain_epochs choice [50, 100, 150]\n", {"pretrain_epochs": ["choice", 50, 100, 150]}),
        ("learning_rate loguniform -8,0", {"learning_rate": ["loguniform", -8.0, 0.0]}),
        ("n_layers quniform 1,4,1\n", {"n_layers": ["quniform", 1.0, 4.0, 1.0]}),
        ("mask_ratio uniform 0.1 , 0.5\n", {"mask_ratio": ["uniform", 0.1, 0.5]}),
        ("a uniform 1e-4,1e-2\n", {"a": ["uniform", 0.0001, 0.01]}),
        ("hidden_size choice [ 32,  64 , 128 ]\n", {"hidden_size": ["choice", 32, 64, 128]}),
        ("m choice ['[64, 64]','[128]']\n", {"m": ["choice", "[64,64]", "[128]"]}),
        ("m choice [[64,64],[128]]\n", {"m": ["choice", [64, 64], [128]]}),
        (
            "a choice [1,2.5,'x',None,True,'None','1e-3']\n",
            {"a": ["choice", 1, 2.5, "x", None, True, "None", "1e-3"]},
        ),
        ("a choice {3,1,2}\n", {"a": ["choice", 1, 2, 3]}),
        ("a choice 'abc'\n", {"a": ["choice", "a", "b", "c"]}),
        ("c choice (1,2)\n", {"c": ["choice", 1, 2]}),
        ("c choice 1,2\n", {"c": ["choice", 1, 2]}),
        ("a choice [None,{'distribution':'uniform'}]\n", {"a": ["choice", None, {"distribution": "uniform"}]}),
        ("n_heads choice [1,2] # two heads\n", {"n_heads": ["choice", 1, 2]}),
        (
            "   hidden_size choice [16]\r\nb uniform 0,1\r\n",
            {"hidden_size": ["choice", 16], "b": ["uniform", 0.0, 1.0]},
        ),
    ],
)
def test_reads_what_recbole_reads(text: str, expected: dict[str, list[object]]) -> None:
    assert declared(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "hidden_size\tchoice\t[16,32]\n",
        "hidden_size  choice   [16,32]\n",
        "hidden_size choice[16,32]\n",
        "\ufeffhidden_size choice [16,32]\n",
        "# sizes\n\nhidden_size choice [16,32]  # both\n# hidden_size choice [64]\n",
    ],
)
def test_reads_what_recbole_drops_without_a_word(text: str) -> None:
    assert declared(text) == {"hidden_size": ["choice", 16, 32]}


def test_a_hash_inside_quotes_is_no_comment() -> None:
    assert declared("a choice ['#1', 'b']") == {"a": ["choice", "#1", "b"]}


# (text, line, column, part of the problem, part of the fix)
@pytest.mark.parametrize(
    ("text", "line", "column", "problem", "fix"),
    [
        ("a choice [1]\nb choice [1,2\n", 2, 10, "never closed", "]"),
        ("a choice\n", 1, 9, "no value", "a choice [1, 2]"),
        ("hidden_size\n", 1, 12, "neither type nor value", "#"),
        ("a choice []\n", 1, 10, "no options", "brackets"),
        ("a choice 5\n", 1, 10, "needs a list", "[5]"),
        ("a choice [relu]\n", 1, 11, "relu", "'relu'"),
        ("a choice list(range(4))\n", 1, 10, "not run", "[0, 1, 2, 3]"),
        ("a choice [2**3]\n", 1, 11, "not run", "values out"),
        ("a choice [1 2]\n", 1, 13, "not expected", "commas"),
        ("a choice ['x]\n", 1, 11, "quote is never closed", "'"),
        ("a choice [true]\n", 1, 11, "true", "True"),
        ("a randint 1,5\n", 1, 3, "randint", "quniform"),
        ("a Choice [1]\n", 1, 3, "Choice", "choice"),
        ("a lognorm 1,2\n", 1, 3, "lognorm", "loguniform"),
        ("a uniform [0,1]\n", 1, 11, "brackets", "a uniform 0,1"),
        ("a uniform 0,1,2\n", 1, 11, "2 numbers, not 3", "low,high"),
        ("a quniform 1,10\n", 1, 12, "3 numbers, not 2", "low,high,q"),
        ("a uniform 0,x\n", 1, 13, "x is not a number", "low,high"),
        ("a uniform 1,0\n", 1, 3, "above", "0,1"),
        ("a quniform 1,5,0\n", 1, 3, "step", "above 0"),
        ("a loguniform 1,900\n", 1, 3, "too large", "exponents"),
        ("--hidden_size choice [1]\n", 1, 1, "--hidden_size", "hidden_size"),
        ("x choice [1]\ny choice [1]\nx choice [2]\n", 3, 1, "lines 1 and 3", "Keep one"),
        ("a choice [{1: 2}]\n", 1, 12, "key 1", "quotes"),
    ],
)
def test_an_error_names_place_and_fix(text: str, line: int, column: int, problem: str, fix: str) -> None:
    with pytest.raises(SpaceError) as caught:
        read(text)
    error = caught.value
    assert (error.file, error.line, error.column) == ("hyper.test", line, column)
    assert problem in error.problem
    assert fix in error.fix


@pytest.mark.parametrize("text", ["", "# nothing\n", "\n\n"])
def test_a_file_without_parameters_is_an_error(text: str) -> None:
    with pytest.raises(SpaceError, match="no parameter"):
        read(text)


def test_nothing_is_evaluated() -> None:
    with pytest.raises(SpaceError):
        read("a choice [__import__('os').getpid()]\n")


def test_deep_nesting_is_refused_instead_of_exhausting_the_stack() -> None:
    with pytest.raises(SpaceError, match="nested"):
        read("a choice " + "[" * 5000 + "]" * 5000)


def test_bounds_of_a_loguniform_that_look_like_values_are_remarked() -> None:
    (note,) = read("learning_rate loguniform 0.0001,0.01\n").notes
    assert "exponents" in note
    assert f"{math.log(0.0001):.4f},{math.log(0.01):.4f}" in note


def test_spaces_dropped_from_a_text_are_remarked() -> None:
    found = read("act choice ['a b', '[1, 2]']")
    assert found["act"].values == ("ab", "[1,2]")
    (note,) = found.notes
    assert "'ab'" in note


def test_an_option_listed_twice_counts_once_and_is_remarked() -> None:
    found = read("a choice [1, 2, 1]")
    assert found["a"].values == (1, 2)
    assert "twice" in found.notes[0]
