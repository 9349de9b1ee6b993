"""What people look at, without a web server: reports, importances and figures.

Summaries are plain dataclasses, for clients too; what reads them from a database is imported when it is first asked
for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from tuner.insight.summaries import (
    CacheUse,
    Confirmation,
    ConfirmedSet,
    EpochCounts,
    EventSummary,
    Importances,
    Page,
    Progress,
    StageSummary,
    StudySummary,
    TrialDetail,
    TrialError,
    TrialSummary,
)

if TYPE_CHECKING:
    from tuner.insight.events import list_events
    from tuner.insight.importance import importances
    from tuner.insight.reports import (
        get_study,
        get_trial,
        list_studies,
        list_trials,
        parameter_names,
        workers_alive,
    )
    from tuner.insight.stages import cache_use, list_stages
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        elsewhere = {
            "list_events": "events",
            "importances": "importance",
            "cache_use": "stages",
            "list_stages": "stages",
        }
        return getattr(importlib.import_module(f"{__name__}.{elsewhere.get(name, 'reports')}"), name)


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
