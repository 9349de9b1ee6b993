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
    from tuner.insight.installation import workers_alive
    from tuner.insight.stages import cache_use, list_stages
    from tuner.insight.studies import get_specification, get_study, list_studies, parameter_names
    from tuner.insight.trials import TRIAL_ORDERS, get_trial, list_trials
else:
    # Where each name is that is read from a database.
    _ELSEWHERE = {
        "TRIAL_ORDERS": "trials",
        "cache_use": "stages",
        "get_specification": "studies",
        "get_study": "studies",
        "get_trial": "trials",
        "importances": "importance",
        "list_events": "events",
        "list_stages": "stages",
        "list_studies": "studies",
        "list_trials": "trials",
        "parameter_names": "studies",
        "workers_alive": "installation",
    }

    def __getattr__(name: str) -> object:
        if name not in _ELSEWHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_ELSEWHERE[name]}"), name)


__all__ = [
    "TRIAL_ORDERS",
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
    "get_specification",
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
