"""The hyper.test format: what RecBole reads is read the same, what it drops or runs is explained."""

from __future__ import annotations

import math
import time

import pytest

from tuner import space
from tuner.errors import SpaceError, SpaceErrors
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
        ("a choice [2**3]\n", 1, 11, "not run", "Write [8]."),
        ("a choice [len('x')]\n", 1, 11, "not run", "values out"),
        ("a uniform 1/4,1/2\n", 1, 11, "not run", "a uniform 0.25,0.5."),
        ("a quniform 2**4,2**6,2**4\n", 1, 12, "not run", "a quniform 16,64,16."),
        ("a loguniform log(1e-4),log(1e-2)\n", 1, 14, "not run", "numbers"),
        ("a uniform [0,x]\n", 1, 11, "brackets", "low,high"),
        ("a uniform 0.123456789,0.1\n", 1, 3, "0.123456789", "uniform 0.1,0.123456789."),
        ("a quniform 64,16,16\n", 1, 3, "above", "quniform 16,64,16."),
        ("a choice [inf]\n", 1, 11, "inf is not finite", "finite"),
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


# What stands in the file, and what an error may say to write in its place: the same values to the last digit, or none.
@pytest.mark.parametrize(
    ("value", "proposed"),
    [
        ("[i/10 for i in range(3)]", "[0.0, 0.1, 0.2]"),
        ("[i / 4 for i in range(1, 3)]", "[0.25, 0.5]"),
        ("[10**-i for i in (1, 2, 3)]", "[0.1, 0.01, 0.001]"),
        ("range(16, 64, 16)", "[16, 32, 48]"),
        ("list(range(3, 0, -1))", "[3, 2, 1]"),
        ("tuple(2**i for i in range(4, 7))", "[16, 32, 64]"),
        ("[64 * 2, 64]", "[128, 64]"),
        ("[-(2 + 3), 7 // 2, 7 % 4]", "[-5, 3, 3]"),
        ("[[i, 2 * i] for i in range(1, 3)]", "[[1, 2], [2, 4]]"),
        ("['a b', 1 + 1]", r"['a\x20b', 2]"),
        # 0.1 * 3 is not 0.3 to Python, and 1/3 is no decimal: whichever were proposed would be another value.
        ("[0.1 * i for i in range(4)]", None),
        ("[1/3, 2/3]", None),
        ("[i/10 for i in range(30) if i % 7]", None),
        ("[i + j for i in range(2) for j in range(2)]", None),
        ("[i/0 for i in range(2)]", None),
        ("list(range(100000))", None),
        ("[9**9**9]", None),
        ("[2**63]", None),
        ("np.arange(3)", None),
        ("[float('nan')]", None),
        ("sorted({1, 2} | {3})", None),
        ("[i for i in [i for i in range(200)] for i in range(0)]", None),
        ("range(0)", None),
        ("[" + "-" * 480 + "1+1]", None),
    ],
)
def test_a_proposed_list_means_the_same_or_there_is_none(value: str, proposed: str | None) -> None:
    with pytest.raises(SpaceError) as caught:
        read(f"a choice {value}\n")
    assert caught.value.fix == f"Write {proposed}." if proposed else "[" not in caught.value.fix
    if proposed:
        read(f"a choice {proposed}\n")


def test_every_line_that_is_wrong_is_told_at_once() -> None:
    text = "a choice [1\nb choice [1]\nc unifrom 0,1\n\nb choice [2]  # again\nd choice [x]\n"
    with pytest.raises(SpaceErrors) as caught:
        read(text)
    assert [(error.line, error.column) for error in caught.value.every] == [(1, 10), (3, 3), (5, 1), (6, 11)]
    assert str(caught.value).splitlines() == [str(error) for error in caught.value.every]
    assert all(error.fix for error in caught.value.every)
    assert (caught.value.line, caught.value.problem) == (1, "'[' is never closed.")


def test_a_value_on_several_lines_is_one_error() -> None:
    with pytest.raises(SpaceError) as caught:
        read("a choice [\n  1,\n  2\n]\nb choice [1]\n")
    assert len(caught.value.every) == 1
    with pytest.raises(SpaceErrors) as several:
        read("a choice [\n1,\nb choice [x]\n")
    assert [error.line for error in several.value.every] == [1, 3]


def test_of_very_many_errors_the_first_are_told() -> None:
    with pytest.raises(SpaceErrors) as caught:
        read("a choice [x]\n" * 5000)
    assert [error.line for error in caught.value.every] == list(range(1, 21))
    assert str(caught.value).endswith("the first 20; mend them to see the others.")


@pytest.mark.parametrize(
    ("line", "column", "name", "instead"),
    [
        ("learning_r\u0430te choice [1]", 11, "CYRILLIC SMALL LETTER A (U+0430)", "Write a in"),
        ("a choice [1\uff0c2]", 12, "FULLWIDTH COMMA (U+FF0C)", "Write , in"),
        ("a choice \uff3b1, 2\uff3d", 10, "FULLWIDTH LEFT SQUARE BRACKET (U+FF3B)", "Write [ in"),
        ("a choice [\u2018CE\u2019]", 11, "LEFT SINGLE QUOTATION MARK (U+2018)", "Write ' in"),
        ("a choice ['CE\u2019]", 14, "RIGHT SINGLE QUOTATION MARK (U+2019)", "Write ' in"),
        ("a choice [\u201cCE\u201d]", 11, "LEFT DOUBLE QUOTATION MARK (U+201C)", 'Write " in'),
        ("a loguniform \u22128,0", 14, "MINUS SIGN (U+2212)", "Write - in"),
        ("a loguniform \u20138,0", 14, "EN DASH (U+2013)", "Write - in"),
        ("a uniform 0,\u0661", 13, "ARABIC-INDIC DIGIT ONE (U+0661)", "Write 1 in"),
        ("a\u200b choice [1]", 2, "ZERO WIDTH SPACE (U+200B)", "can't be seen"),
        ("\ufeffa choice [1]", 1, "ZERO WIDTH NO-BREAK SPACE (U+FEFF)", "can't be seen"),
        ("a \u0441hoice [1]", 3, "CYRILLIC SMALL LETTER ES (U+0441)", "Write c in"),
    ],
)
def test_a_character_that_looks_like_another_is_named(line: str, column: int, name: str, instead: str) -> None:
    with pytest.raises(SpaceError) as caught:
        read(f"# \u0430 comment, \uff0c\n{line}\n")
    assert (caught.value.line, caught.value.column) == (2, column)
    assert name in caught.value.problem
    assert instead in caught.value.fix


@pytest.mark.parametrize(("space_", "name"), [("\u00a0", "NO-BREAK SPACE"), ("\u3000", "IDEOGRAPHIC SPACE")])
def test_a_space_of_another_kind_is_read_and_named(space_: str, name: str) -> None:
    found = read(f"hidden_size{space_}choice [1,{space_}2]\n")
    assert found["hidden_size"].values == (1, 2)
    (note,) = found.notes
    assert name in note
    assert "ordinary" in note


def test_texts_may_hold_every_character() -> None:
    assert read("a choice ['\u0430\uff0c', '\u6d4b\u8bd5']")["a"].values == ("\u0430\uff0c", "\u6d4b\u8bd5")


@pytest.mark.parametrize(
    "text",
    [
        "a choice [" + "[" * 400_000,
        "\n".join(["a choice " + "'\\\"" * 15_000] * 5),
        "\n".join(["\u00a0" * 49_000] * 3 + ["a"]),
        "\n" * 200_000,
        "# nothing\n" * 20_000,
        " \n" * 100_000 + "a: 1\n",
        "\n".join(f"p{number} choice [1, 2, 3, 4, 5]" for number in range(35_000)),
        "a choice [" + "1+" * 20_000 + "1]",
    ],
    ids=["brackets", "quotes", "spaces", "lines", "comments", "configuration", "parameters", "expression"],
)
def test_a_hostile_file_does_not_occupy_the_service(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(SpaceError):
        read(text)
    assert time.process_time() - begun < 20  # hours, where a pattern has to be tried from every place
