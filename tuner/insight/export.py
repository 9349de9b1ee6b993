"""All trials of a study as a file: for spreadsheets, data frames, programs, and as RecBole writes them.

A format is one function ``(trials, columns) -> pieces of the file`` and one registration in :data:`FORMATS`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from model.config import load_config
from model.metric_names import computed_keys
from tuner.errors import FormatUnavailable
from tuner.insight.studies import get_study, parameter_names
from tuner.insight.summaries import TrialSummary
from tuner.insight.trials import each_trial
from tuner.store import Database
from tuner.store import studies as study_rows

_FIRST = ("number", "state", "value")
_LAST = ("best_epoch", "started_at", "ended_at", "seconds", "worker", "attempt", "confirms", "seed", "same_as")
# A spreadsheet takes a text that begins so for a formula and computes it.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Trials = Iterable[TrialSummary]
Pieces = Iterator[bytes]


@dataclass(frozen=True)
class Columns:
    """What a table of trials has columns for: searched parameters and metrics, in their order."""

    parameters: tuple[str, ...]
    metrics: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Of all columns; as Optuna has them, a parameter's begins with ``params_``."""
        results = [f"{split}_{metric}" for split in ("valid", "test") for metric in self.metrics]
        return [*_FIRST, *(f"params_{name}" for name in self.parameters), *results, *_LAST, "error"]

    def row(self, trial: TrialSummary) -> list[Any]:
        """A trial's values, one for each name; lists and mappings among them as JSON."""
        params, valid, test = trial.params or {}, trial.valid_result or {}, trial.test_result or {}
        error = None if trial.error is None else f"{trial.error.type}: {trial.error.message}"
        return [
            *(getattr(trial, name) for name in _FIRST),
            *(_scalar(params.get(name)) for name in self.parameters),
            *(found.get(metric) for found in (valid, test) for metric in self.metrics),
            *(getattr(trial, name) for name in _LAST),
            error,
        ]


@dataclass(frozen=True)
class Format:
    """A kind of file: its media type, the suffix of its name, and what writes it."""

    media_type: str
    suffix: str
    write: Callable[[Trials, Columns], Pieces]


def export(database: Database, name: str | int, format_name: str) -> tuple[str, Pieces]:
    """(name for the file, its pieces); nothing is read before the first piece is asked for.

    Raises:
        StudyNotFound: there is no such study.
        FormatUnavailable: what writes the format is not installed here.
    """
    chosen = FORMATS[format_name]
    study = get_study(database, name)
    with database.session() as session:
        given = study_rows.find_study(session, study.id).specification["config"]
    metrics = computed_keys(load_config(study.model, study.dataset, config_dict=given))
    columns = Columns(tuple(parameter_names(database, study.id)), tuple(metrics))
    if format_name == "parquet":
        _pyarrow()
    return f"{study.name}{chosen.suffix}", chosen.write(each_trial(database, study.id), columns)


def as_csv(trials: Trials, columns: Columns) -> Pieces:
    """RFC 4180, times in ISO 8601; texts that a spreadsheet would compute begin with an apostrophe."""
    yield _csv_line(columns.names)
    for trial in trials:
        yield _csv_line([_cell(value) for value in columns.row(trial)])


def as_ndjson(trials: Trials, _columns: Columns) -> Pieces:
    """A JSON object for each trial as REST shows it, a line each."""
    adapter = TypeAdapter(dict[str, Any])
    for trial in trials:
        yield adapter.dump_json(asdict(trial)) + b"\n"


def as_parquet(trials: Trials, columns: Columns) -> Pieces:
    """Apache Parquet; a parameter with options of several types is a column of texts."""
    pyarrow = _pyarrow()
    table = list(zip(*(columns.row(trial) for trial in trials), strict=True)) or [()] * len(columns.names)
    arrays = [pyarrow.array(_one_type(values)) for values in table]
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=columns.names), file)
    yield file.getvalue()


def as_recbole(trials: Trials, _columns: Columns) -> Pieces:
    """The result file of RecBole's run_hyper.py; trials without a result and confirmations are not in it."""
    yield result_text(
        (trial.params, trial.valid_result, trial.test_result)
        for trial in trials
        if trial.state == "completed"
        and trial.confirms is None
        and trial.params is not None
        and trial.valid_result
        and trial.test_result
    ).encode()


FORMATS: dict[str, Format] = {
    "csv": Format("text/csv", ".csv", as_csv),
    "ndjson": Format("application/x-ndjson", ".ndjson", as_ndjson),
    "parquet": Format("application/vnd.apache.parquet", ".parquet", as_parquet),
    "recbole": Format("text/plain", ".result", as_recbole),
}


def result_text(results: Iterable[tuple[Mapping[str, Any], Mapping[str, float], Mapping[str, float]]]) -> str:
    """RecBole's result file: parameters, valid and test metrics of every different parameter set.

    A repeated parameter set overwrites its results, as there.
    """
    blocks: dict[str, str] = {}
    for params, valid, test in results:
        head = ", ".join(f"{key}:{params[key]}" for key in sorted(params))
        blocks[head] = f"{head}\nValid result:\n{_metrics(valid)}\nTest result:\n{_metrics(test)}\n\n"
    return "".join(blocks.values())


def _metrics(result: Mapping[str, float]) -> str:
    return "    ".join(f"{metric} : {value}" for metric, value in result.items())


def _scalar(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | tuple | dict) else value


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return value.isoformat() if hasattr(value, "isoformat") else value


def _csv_line(values: list[Any]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue().encode()


def _one_type(values: tuple[Any, ...]) -> list[Any]:
    """Whole numbers and others are numbers together; anything else that is mixed is texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    if len(kinds) > 1:
        return [None if value is None else str(value) for value in values]
    return list(values)


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise FormatUnavailable(
            "parquet needs pyarrow, which is not installed here. Install rectuner[parquet], or take csv or ndjson."
        ) from None
    return pyarrow
