"""What people look at, without a web server: reports, importances and figures."""

from __future__ import annotations

from tuner.insight.confirmation import Confirmation, ConfirmedSet
from tuner.insight.events import EventSummary, list_events
from tuner.insight.importance import Importances, importances
from tuner.insight.reports import (
    get_study,
    get_trial,
    list_studies,
    list_trials,
    parameter_names,
    workers_alive,
)
from tuner.insight.stages import CacheUse, StageSummary, cache_use, list_stages
from tuner.insight.summaries import (
    EpochCounts,
    Page,
    Progress,
    StudySummary,
    TrialDetail,
    TrialError,
    TrialSummary,
)

__all__ = [
    "CacheUse",
    "Confirmation",
    "ConfirmedSet",
    "EpochCounts",
    "EventSummary",
    "Importances",
    "Page",
    "Progress",
    "StageSummary",
    "StudySummary",
    "TrialDetail",
    "TrialError",
    "TrialSummary",
    "cache_use",
    "get_study",
    "get_trial",
    "importances",
    "list_events",
    "list_stages",
    "list_studies",
    "list_trials",
    "parameter_names",
    "workers_alive",
]
