"""A study in the terminal while it runs: a live view, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from tuner.cli.environment import out
from tuner.insight.snapshot import Snapshot
from tuner.insight.summaries import StudySummary, TrialSummary
from tuner.store.states import VALUED_TRIAL_STATES

# Plain output says something at most so often.
_PLAIN_SECONDS = 5.0
# More running trials than that are counted instead of shown.
_MOST_LINES = 12


def follow(snapshots: Iterable[Snapshot], console: Console = out) -> Snapshot:
    """Show snapshots until there are no more; returns the last one."""
    return _follow_live(snapshots, console) if console.is_terminal else _follow_plainly(snapshots, console)


def duration(seconds: float) -> str:
    """``51 s``, ``2:28 min``, ``1:02:03 h``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02} h"
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"


def values(params: dict[str, Any] | None) -> str:
    """Parameters on one line."""
    return ", ".join(f"{name}={_short(value)}" for name, value in (params or {}).items())


def _follow_live(snapshots: Iterable[Snapshot], console: Console) -> Snapshot:
    ended = _Ended()
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        for snapshot in snapshots:
            for trial in ended.new(snapshot):
                console.print(_ended_line(snapshot.study, trial))
            live.update(_picture(snapshot))
    return snapshot


def _follow_plainly(snapshots: Iterable[Snapshot], console: Console) -> Snapshot:
    ended = _Ended()
    said_at, said = 0.0, ""
    for snapshot in snapshots:
        for trial in ended.new(snapshot):
            _say(console, _ended_line(snapshot.study, trial))
        line = " | ".join([_study_line(snapshot.study), *map(_trial_line, snapshot.running[:_MOST_LINES])])
        if line != said and time.monotonic() - said_at >= _PLAIN_SECONDS:
            _say(console, line)
            said_at, said = time.monotonic(), line
    return snapshot


class _Ended:
    """Tells each ended trial once; those that had ended before the first snapshot are not told."""

    def __init__(self) -> None:
        self._told: set[int | None] | None = None

    def new(self, snapshot: Snapshot) -> list[TrialSummary]:
        if self._told is None:
            self._told = {trial.number for trial in snapshot.ended}
        news = [trial for trial in snapshot.ended if trial.number not in self._told]
        self._told.update(trial.number for trial in news)
        return news[::-1]


def _say(console: Console, line: str) -> None:
    # soft_wrap: a log has no width.
    console.print(f"{time.strftime('%H:%M:%S')} {line}", soft_wrap=True)


def _picture(snapshot: Snapshot) -> RenderableType:
    study = snapshot.study
    head = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=study.trials_total or None, completed=study.trials_done, width=24)
    head.add_row(bar, _study_line(study))
    trials = Table.grid(padding=(0, 2))
    for trial in snapshot.running[:_MOST_LINES]:
        trials.add_row(*_trial_cells(trial), f"[dim]{escape(values(trial.params))}[/]")
    if len(snapshot.running) > _MOST_LINES:
        trials.add_row(f"and {len(snapshot.running) - _MOST_LINES} more")
    return Group(head, trials)


def _study_line(study: StudySummary) -> str:
    parts = [f"{study.name} {study.state}", f"{study.trials_done}/{study.trials_total} trials"]
    if study.exceptions:
        parts.append(study.exceptions)
    if study.best_value is not None:
        parts.append(f"best {study.metric} {study.best_value:.4f} (trial {study.best_trial})")
    if study.state == "paused" and study.reason is not None:
        parts.append(study.reason)
    if study.eta_seconds is not None:
        parts.append(f"about {duration(study.eta_seconds)} left")
    elif study.state == "queued":
        parts.append("waiting for a worker" if not study.workers_alive else "starting")
    return ", ".join(parts)


def _trial_line(trial: TrialSummary) -> str:
    return " ".join(cell for cell in _trial_cells(trial) if cell)


def _trial_cells(trial: TrialSummary) -> tuple[str, str, str, str]:
    head = "trial" if trial.number is None else f"trial {trial.number}"
    progress = trial.progress
    if progress is None:
        return head, "starting", "", ""
    if progress.note and not progress.epoch:  # it waits
        return head, escape(progress.note), "", ""
    # The epoch that runs is shown with its part: 3.4/10 is forty per cent into the fourth.
    place = max(progress.epoch - 1, 0) + min(max(progress.fraction, 0.0), 1.0)
    stage = f"{progress.stage} epoch {place:.1f}/{progress.epochs}"
    loss = "" if progress.mean_loss is None else f"loss {_loss(progress.mean_loss)}"
    loss = escape(progress.note) if progress.note else loss
    score = "" if progress.valid_score is None else f"valid {progress.valid_score:.4f}"
    return head, stage, loss, score


def _ended_line(study: StudySummary, trial: TrialSummary) -> str:
    took = "" if trial.seconds is None else f" in {duration(trial.seconds)}"
    if trial.state in VALUED_TRIAL_STATES and trial.value is not None:
        outcome = f"{trial.state} with {study.metric} {trial.value:.4f}{took}"
    elif trial.error is not None:
        outcome = f"{trial.state}{took}: {trial.error.type}: {trial.error.message}"
    else:
        outcome = f"{trial.state}{took}"
    again = f", {trial.again}" if trial.again else ""
    return escape(f"trial {trial.number} {outcome} ({values(trial.params)}{again})")


def _loss(value: float) -> str:
    # Of a sample; a stage of several terms has large ones.
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4f}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
