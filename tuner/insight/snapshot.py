"""A study at one moment, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuner.insight.summaries import StudySummary, TrialSummary

if TYPE_CHECKING:
    from tuner.store import Database

# Bounds of a snapshot, whatever the size of the study.
MOST_RUNNING = 100
MOST_ENDED = 20


@dataclass(frozen=True)
class Snapshot:
    """A study, its running trials, and those that ended last (newest first)."""

    study: StudySummary
    running: tuple[TrialSummary, ...]
    ended: tuple[TrialSummary, ...]

    @property
    def rests(self) -> bool:
        """Whether nothing more happens unless a person asks for it."""
        paused = self.study.state == "paused" and self.study.outage is None
        return self.study.ended or (paused and not self.running)


def take(database: Database, name: str) -> Snapshot:
    """The study as it is now.

    Raises:
        StudyNotFound: there is none.
    """
    # Here, because a client has snapshots without SQL.
    from tuner.insight.studies import get_study
    from tuner.insight.trials import list_trials

    # The trials first: an ended study is then never shown without its last trial.
    running = list_trials(database, name, state="running", limit=MOST_RUNNING).items
    study = get_study(database, name)
    ended = list_trials(database, name, order="-ended_at", limit=MOST_ENDED).items
    return Snapshot(study, running, only_ended(ended))


def only_ended(trials: tuple[TrialSummary, ...]) -> tuple[TrialSummary, ...]:
    """Those of ``trials`` that have ended."""
    return tuple(trial for trial in trials if trial.ended_at is not None)
