"""Malformed files are refused with their name and what to change; odd but valid ones are read as by the peer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from model.config import Config, load_config
from model.data import SequentialDataset, load_dataset
from model.data.reading import find_files, read_tables
from model.errors import ConfigError, DataError

HEADER = "user_id:token\titem_id:token\ttimestamp:float\n"
ROWS = "".join(f"u{user}\ti{(user + step) % 5}\t{step}\n" for user in range(3) for step in range(5))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Config]:
    """Writes the files of a data set ``d`` and gives the configuration that reads it."""

    def make(inter: str | bytes, item: str | None = None, **changes: Any) -> Config:
        folder = tmp_path / "d"
        folder.mkdir(exist_ok=True)
        (folder / "d.inter").write_bytes(inter if isinstance(inter, bytes) else inter.encode())
        if item is not None:
            (folder / "d.item").write_text(item)
        settings = {"load_col": None, "data_path": str(tmp_path), **changes}
        return load_config("S3Rec", "d", config_dict=settings)

    return make


def read(config: Config) -> SequentialDataset:
    return load_dataset(config)


def interactions(config: Config) -> pd.DataFrame:
    """The rows that are left of ``.inter``."""
    return read_tables(find_files(config), config)[0]["inter"].frame


@pytest.mark.parametrize(
    ("inter", "problem"),
    [
        ("user_id:token\titem_id\ttimestamp:float\n", r"d\.inter, line 1: column 'item_id' is not name:type"),
        ("user_id:token\titem_id:word\ttimestamp:float\n", r"line 1: column 'item_id:word'.*token_seq"),
        ("user_id:token\titem_id:token\n" + "u\ti\n", r"d\.inter: there is no loaded column 'timestamp'.*TIME_FIELD"),
        (HEADER + ROWS + "\nu1\ti1\tnoon\n", r"d\.inter, line 18: timestamp = 'noon' is not a number"),
        (HEADER + "u1\ti1\t1\textra\n" + ROWS, r"d\.inter, line 2: has 4 fields, line 1 names 3 columns"),
        (HEADER + ROWS + "u1\ti1\t1\textra\n", r"d\.inter, line 17: has 4 fields"),
        (HEADER + ROWS + '"u1\ti1\t1\n', r"d\.inter, line 17: user_id opens a quote that is not closed"),
        (HEADER + ROWS + '"u1"\ti1\tnoon\n', r"d\.inter, line 17: timestamp = 'noon' is not a number"),
        (
            HEADER + ROWS + "u1\ti1\t2015-02-03 12:00:00\n",
            r"line 17: timestamp = .* It is a date; write times as numbers",
        ),
        (HEADER, r"no row of \.inter is left"),
        ("user_id:token\tuser_id:token\titem_id:token\n", r"line 1: there are two columns 'user_id'"),
        (
            HEADER.replace("user_id:token", "user_id:float") + "1\ti1\t1\n",
            r"'user_id' \(USER_ID_FIELD\).*must be a token",
        ),
        (HEADER.replace("timestamp:float", "timestamp:token") + ROWS, r"'timestamp' orders .* must be a float"),
        (HEADER.replace("\n", "\tv:float_seq\n") + "u1\ti1\t1\t1 x\n", r"'v' \(float_seq\): '1 x' is not made of"),
    ],
)
def test_malformed_files_are_refused(write: Callable[..., Config], inter: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read(write(inter))


OPEN_QUOTES = {
    "two of them": '{0}"u3\ti1\t7\n{0}"u4\ti2\t8\n{0}',
    "a line break": '{0}"u3\nu4"\ti1\t7\n{0}',
    "a carriage return": '{0}"u3\ru4"\ti1\t7\n{0}',
    "in the last field": '{0}u3\ti1\t"7\n{0}',
    "after a quoted field": '{0}"u3"\t"i1\t7\n{0}u4"\ti1\t7\n',
    "a doubled quote closes nothing": '{0}"u3""\ti1\t7\n{0}',
    "beyond the columns": '{0}u3\ti1\t7\t"more\n{0}',
}


@pytest.mark.parametrize("rows", OPEN_QUOTES.values(), ids=OPEN_QUOTES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("separator", ["\t", ",", "§"])
def test_a_quote_that_its_line_does_not_close_is_refused(
    write: Callable[..., Config], rows: str, newline: str, separator: str
) -> None:
    """Two of them once took all rows between them into one field, without a word."""
    content = (HEADER + rows.format(ROWS)).replace("\t", separator).replace("\n", newline)
    with pytest.raises(DataError, match=r"d\.inter, line 17: \w+( 4)? opens a quote that is not closed on this line"):
        read(write(content.encode(), field_separator=separator))


def test_open_quotes_of_other_files_are_refused_too(write: Callable[..., Config]) -> None:
    item = 'item_id:token\tclass:token\ttitle:token\ni0\ta\t"One\ni1\ta\ttwo\ni2\tb\t"Three\n'
    columns = {"inter": ["user_id"], "item": ["class"]}  # of a column that is not loaded, too
    with pytest.raises(DataError, match=r"d\.item, line 2: title opens a quote"):
        read(write(HEADER + ROWS, item, load_col=columns))


@pytest.mark.parametrize("name", ['"class:token', '"class:token"', 'cl"ass:token'])
def test_names_of_columns_have_no_quotes(write: Callable[..., Config], name: str) -> None:
    item = f'item_id:token\t{name}\ni0\ta\ni1\t"b"\n'
    with pytest.raises(DataError, match=r"d\.item, line 1: names of columns are written without quotes"):
        read(write(HEADER + ROWS, item))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('"i 9"', "i 9"),
        ('"i\t9"', "i\t9"),
        ('"""i"" 9"', '"i" 9'),
        ('"i" 9', "i 9"),
        ('i"9', 'i"9'),
        ("i9\x0b", "i9\x0b"),
    ],
)
def test_quoted_fields_are_read_as_by_the_peer(write: Callable[..., Config], written: str, text: str) -> None:
    frame = interactions(write(f"{HEADER}{ROWS}u1\t{written}\t9\n{ROWS}"))
    assert frame["item_id"][15] == text
    assert len(frame) == 31


def test_a_separator_beyond_ascii_works(write: Callable[..., Config]) -> None:
    content = f'{HEADER}{ROWS}u1\t"i\t9"\t9\n'.replace("\t", "§")
    assert list(interactions(write(content, field_separator="§"))["item_id"])[-1] == "i§9"


def test_quotes_beside_a_longer_separator_are_part_of_the_text(write: Callable[..., Config]) -> None:
    content = f'{HEADER}{ROWS}"u8\ti1\t7\n{ROWS}"u9\ti1\t7\n'.replace("\t", "::")
    frame = interactions(write(content, field_separator="::"))
    assert len(frame) == 32
    assert {'"u8', '"u9'} <= set(frame["user_id"])


@pytest.mark.parametrize("text", ["", "NA", "null", "None", "nan", "N/A"])
def test_what_pandas_calls_missing_is_a_missing_id(write: Callable[..., Config], text: str) -> None:
    dataset = read(write(f"{HEADER}{ROWS}u9\t{text}\t9\n"))
    assert text not in dataset.tokens["item_id"]
    assert "u9" not in dataset.tokens["user_id"]


def test_missing_users_and_items_drop_the_right_rows(write: Callable[..., Config]) -> None:
    # RecBole drops a wrong row when both kinds occur.
    config = write(f"{HEADER}\ti0\t1\nu7\t\t2\n{ROWS}")
    assert len(interactions(config)) == 15
    assert 0 not in read(config).train.items


def test_spaces_and_leading_zeros_belong_to_an_id(write: Callable[..., Config]) -> None:
    dataset = read(write(f"{HEADER}{ROWS}u1 \t1\t7\nu1 \t01\t8\nu1 \t1.0\t9\n"))
    assert "u1 " in dataset.tokens["user_id"]
    assert {"1", "01", "1.0"} <= set(dataset.tokens["item_id"])


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order mark"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_ends_and_byte_order_marks_do_not_matter(
    write: Callable[..., Config], prefix: bytes, newline: str
) -> None:
    content = (HEADER + ROWS).replace("\n", newline).encode()
    assert read(write(prefix + content)).item_num == 6


def test_another_separator_is_a_setting(write: Callable[..., Config]) -> None:
    content = (HEADER + ROWS).replace("\t", ",")
    assert len(interactions(write(content, field_separator=","))) == 15


def test_interactions_of_unlisted_items_are_dropped_unless_told_otherwise(write: Callable[..., Config]) -> None:
    item = "item_id:token\tclass:token_seq\ni0\ta b\ni1\ta\ni2\t\n"
    assert read(write(HEADER + ROWS, item)).item_num == 4
    assert read(write(HEADER + ROWS, item, filter_inter_by_user_or_item=False)).item_num == 6


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"field_separator": ""}, "field_separator is empty"),
        ({"seq_separator": ""}, "seq_separator is empty"),
        ({"seq_len": {"class": "two"}}, "seq_len: class = 'two': write a whole number"),
        ({"val_interval": {"class": ["a"]}}, "'class' holds sequences"),
        ({"normalize_field": ["age"]}, "normalize_field: there is no loaded column 'age'.*timestamp"),
        ({"rm_dup_inter": "firs"}, "rm_dup_inter = 'firs'"),
        ({"alias_of_item_id": ["next"]}, "no column 'next'.*alias_of"),
        ({"benchmark_filename": ["train", "valid", "test"]}, r"d\.train\.inter: there is no such file"),
    ],
)
def test_settings_that_do_not_fit_the_files_are_refused(
    write: Callable[..., Config], changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(DataError, match=problem):
        read(write(HEADER + ROWS, "item_id:token\tclass:token_seq\ni0\ta b\ni1\ta\n", **changes))


def test_an_encoding_that_there_is_not_is_refused_with_the_configuration(write: Callable[..., Config]) -> None:
    with pytest.raises(ConfigError, match=r"encoding = 'morse': there is no such encoding\. Write utf-8"):
        write(HEADER + ROWS, encoding="morse")


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (3, r"timestamp = 3 is no interval\. Write '\[3,inf\)' for at least 3\."),
        ("3", r"Write '\[3,inf\)'"),
        ("[4,2]", r"no number lies in\. Write '\[2,4\]'"),
        ("[0,2);(3", r"\('\(3'\) is no interval\. Write '\[3,inf\)'"),
        ([3, 4], r"timestamp = \[3, 4\] lists values, and timestamp is a float\. Write an interval in quotes"),
        (["3"], r"lists values"),
    ],
)
def test_what_is_no_interval_is_refused_with_what_was_meant(
    write: Callable[..., Config], wanted: Any, meant: str
) -> None:
    with pytest.raises(ConfigError, match=f"val_interval: .*{meant}"):
        read(write(HEADER + ROWS, val_interval={"timestamp": wanted}))


def test_values_of_tokens_are_listed_or_given_alone(write: Callable[..., Config]) -> None:
    assert len(interactions(write(HEADER + ROWS, val_interval={"user_id": ["u1", "u2"]}))) == 10
    assert len(interactions(write(HEADER + ROWS, val_interval={"user_id": "u1"}))) == 5


def test_leaving_out_one_column_loads_the_others(write: Callable[..., Config]) -> None:
    config = load_config("S3Rec", "d", config_dict={"unload_col": {"inter": ["rating"]}})
    assert config["load_col"] is None
    content = (HEADER + ROWS).replace("float\n", "float\trating:float\n", 1)
    columns = interactions(write(content, unload_col={"inter": ["rating"]})).columns
    assert list(columns) == ["user_id", "item_id", "timestamp"]


def test_loading_and_unloading_columns_of_one_file_is_a_contradiction(write: Callable[..., Config]) -> None:
    settings = {"load_col": {"inter": ["user_id", "item_id"]}, "unload_col": {"inter": ["timestamp"]}}
    with pytest.raises(DataError, match="keep one of them"):
        read(write(HEADER + ROWS, **settings))


def test_of_several_rows_of_one_item_the_first_counts(write: Callable[..., Config]) -> None:
    item = "item_id:token\tclass:token\ni0\tfirst\ni0\tsecond\n" + "".join(f"i{i}\tfirst\n" for i in range(1, 5))
    frame = read_tables(find_files(config := write(HEADER + ROWS, item)), config)[0]["item"].frame
    assert frame["item_id"].tolist() == [f"i{i}" for i in range(5)]
    assert set(frame["class"]) == {"first"}
