"""How a study ended, beside the baseline that it has to beat; and RecBole's result file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from model.protocol import metric_label
from model.registry import BASELINE
from tuner.cli.environment import out, write_file
from tuner.cli.follow import duration, values
from tuner.insight.summaries import Confirmation, StudySummary

if TYPE_CHECKING:
    from tuner.store import Database


def print_outcome(study: StudySummary, console: Console = out) -> None:
    """The study's state and reason, best parameters, and its results beside the baseline's."""
    took = ""
    if study.started_at and study.ended_at:
        took = f" after {duration((study.ended_at - study.started_at).total_seconds())}"
    reason = f": {study.reason}" if study.reason else ""
    console.print(escape(f"{study.name} is {study.state}{took}{reason}"), soft_wrap=True)
    counts = ", ".join(f"{count} {state}" for state, count in study.counts.items()) or "none"
    console.print(f"Trials: {counts} (budget {study.trials_total}).")
    if study.epochs.asked:
        epochs = study.epochs
        console.print(f"Pretraining epochs: {epochs.asked} asked for, {epochs.run} run, {epochs.reused} shared.")
    if study.computing_seconds:
        console.print(f"Computing time of all epochs: {duration(study.computing_seconds)}.")
    if study.best_params is None:
        console.print("No trial has completed.")
        return
    console.print(escape(f"Best parameters (trial {study.best_trial}): {values(study.best_params)}"), soft_wrap=True)
    console.print(_results(study))
    if study.confirmation is not None:
        _print_confirmation(study.metric, study.confirmation, console)


def _print_confirmation(metric: str, found: Confirmation, console: Console) -> None:
    """Mean and spread of every confirmed parameter set, and the test of the best against the next."""
    console.print(f"Run again with other seeds ({found.done} of {found.total} runs ended):")
    table = Table(box=None, pad_edge=False)
    table.add_column("trial", justify="right")
    for column in (f"valid {metric}", f"test {metric}", "when found", "seeds"):
        table.add_column(column, justify="right")
    table.add_column("parameters", overflow="fold")
    for entry in found.sets:
        table.add_row(
            str(entry.trial),
            _with_spread(entry.mean, entry.spread),
            _with_spread(entry.test_result.get(metric), entry.test_spread.get(metric)),
            "" if entry.value is None else f"{entry.value:.4f}",
            str(len(entry.seeds)),
            escape(values(entry.params)),
        )
    console.print(table)
    if found.comparison is not None:
        console.print(found.comparison.sentence, soft_wrap=True)


def _with_spread(mean: float | None, spread: float | None) -> str:
    if mean is None:
        return ""
    return f"{mean:.4f}" if spread is None else f"{mean:.4f} ± {spread:.4f}"


def beats_baseline(study: StudySummary, metric: str = "ndcg@10") -> bool:
    """Whether the best trial's test result is better than the baseline's."""
    best = (study.best_test_result or {}).get(metric)
    baseline = _part(study, "test").get(metric)
    return best is not None and baseline is not None and best > baseline


def write_result_file(database: Database, name: str, path: Path) -> None:
    """Write what RecBole's run_hyper.py writes: one block per parameter set, in the order of the trials.

    A repeated parameter set overwrites its results, as there. Trials without a result are left out.

    Raises:
        SettingsError: the file can't be written.
    """
    from tuner.insight.export import export

    write_file(path, export(database, name, "recbole")[1])


def _results(study: StudySummary) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("metric")
    # valid_users concerns the validation only.
    tested = {key: value for key, value in study.protocol.items() if key != "valid_users"}
    valid = metric_label("valid", study.protocol)
    test = metric_label("test", tested | {"valid": study.protocol["test"]})
    for column in (f"{valid}: best", BASELINE, f"{test}: best", BASELINE):
        table.add_column(column, justify="right")
    best = (study.best_valid_result or {}, study.best_test_result or {})
    baseline = (_part(study, "valid"), _part(study, "test"))
    for metric in best[0] or best[1]:
        cells = [source.get(metric) for pair in zip(best, baseline, strict=True) for source in pair]
        table.add_row(metric, *("" if value is None else f"{value:.4f}" for value in cells))
    return table


def _part(study: StudySummary, split: str) -> Mapping[str, float]:
    found: Any = (study.baseline or {}).get(split)
    return found if isinstance(found, Mapping) else {}
