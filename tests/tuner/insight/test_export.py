"""A study's trials as files: each is read back, and says what the reports say."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace
from typing import Any

import pyarrow.parquet
import pytest

from tests.tuner.insight.conftest import Filled
from tuner.errors import FormatUnavailable, StudyNotFound
from tuner.insight.export import FORMATS, Columns, export
from tuner.insight.summaries import TrialSummary
from tuner.insight.trials import each_trial, list_trials
from tuner.store import Database


def content(database: Database, form: str, name: str = "study") -> bytes:
    return b"".join(export(database, name, form)[1])


def written(form: str, *trials: TrialSummary, parameters: tuple[str, ...] = ("p",)) -> bytes:
    return b"".join(FORMATS[form].write(trials, Columns(parameters, ("ndcg@10",))))


def table(database: Database) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content(database, "csv").decode(), newline="")))


def test_every_trial_is_there_once_however_few_are_read_at_a_time(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuner.insight.trials._AT_A_TIME", 3)
    wanted = list_trials(filled.database, "study").items
    assert [trial.number for trial in each_trial(filled.database, "study")] == [trial.number for trial in wanted]
    assert len(table(filled.database)) == len(wanted) == 10
    done = each_trial(filled.database, "study", state="completed")
    assert {trial.number: trial.value for trial in done} == filled.values


def test_csv_has_a_column_for_each_parameter_and_metric(filled: Filled) -> None:
    rows = table(filled.database)
    best = next(row for row in rows if row["number"] == "1")
    trial = list_trials(filled.database, "study").items[1]
    assert float(best["value"]) == trial.value == float(best["valid_ndcg@10"])
    assert float(best["test_ndcg@10"]) == (trial.test_result or {})["ndcg@10"]
    assert {key: best[f"params_{key}"] for key in trial.params or {}} == {
        key: str(value) for key, value in (trial.params or {}).items()
    }
    assert "valid_recall@10" in best
    failed = next(row for row in rows if row["state"] == "failed")
    assert failed["error"] == "NonFiniteLoss: The loss is nan."
    assert [row["number"] for row in rows if row["state"] == "waiting"] == [""]


def test_ndjson_is_what_rest_shows_of_each_trial(filled: Filled) -> None:
    lines = [json.loads(line) for line in content(filled.database, "ndjson").splitlines()]
    assert [line["number"] for line in lines] == [t.number for t in list_trials(filled.database, "study").items]
    assert lines[0]["valid_result"] == {"ndcg@10": 0.03}


def test_parquet_has_the_same_table_with_types(filled: Filled) -> None:
    read = pyarrow.parquet.read_table(io.BytesIO(content(filled.database, "parquet")))
    assert read.column_names == list(table(filled.database)[0])
    rows: list[dict[str, Any]] = read.to_pylist()
    assert {row["number"]: row["value"] for row in rows if row["state"] == "completed"} == filled.values
    assert rows[0]["ended_at"] == list_trials(filled.database, "study").items[0].ended_at


@pytest.mark.parametrize("form", FORMATS)
def test_a_study_without_trials_has_a_file_without_trials(form: str, empty: Database) -> None:
    file = content(empty, form, "empty")
    if form == "csv":
        assert file.count(b"\r\n") == 1
    elif form == "parquet":
        assert pyarrow.parquet.read_table(io.BytesIO(file)).num_rows == 0
    else:
        assert file == b""


def test_options_of_several_types_and_lists_are_one_column(filled: Filled) -> None:
    one = list_trials(filled.database, "study").items[0]
    trials = [replace(one, params={"p": value}) for value in ("a", 1, [16, 32], None, 0.5)]
    rows = list(csv.reader(io.StringIO(written("csv", *trials).decode(), newline="")))
    assert [row[3] for row in rows[1:]] == ["a", "1", "[16, 32]", "", "0.5"]
    read = pyarrow.parquet.read_table(io.BytesIO(written("parquet", *trials)))
    assert read["params_p"].to_pylist() == ["a", "1", "[16, 32]", None, "0.5"]
    numbers = [replace(one, params={"p": value}) for value in (1, 0.5)]
    read = pyarrow.parquet.read_table(io.BytesIO(written("parquet", *numbers)))
    assert read["params_p"].to_pylist() == [1.0, 0.5]


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+1", "-1", "\tx"])
def test_a_spreadsheet_computes_nothing_of_what_others_wrote(text: str, filled: Filled) -> None:
    one = replace(list_trials(filled.database, "study").items[0], params={"p": text})
    (_, row) = csv.reader(io.StringIO(written("csv", one).decode(), newline=""))
    assert row[3] == f"'{text}"


def test_without_its_library_a_format_says_what_to_install(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FormatUnavailable, match=r"Install rectuner\[parquet\]"):
        export(filled.database, "study", "parquet")


def test_a_study_that_does_not_exist_is_refused_before_anything_is_written(filled: Filled) -> None:
    with pytest.raises(StudyNotFound):
        export(filled.database, "nothing", "csv")
