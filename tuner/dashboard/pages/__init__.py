"""The pages. A page is one module with ``PAGE`` in it, and one entry here."""

from __future__ import annotations

from tuner.dashboard.pages import launch, studies, study, trial
from tuner.dashboard.pages.page import Page

PAGES: tuple[Page, ...] = (studies.PAGE, study.PAGE, trial.PAGE, launch.PAGE)

__all__ = ["PAGES", "Page"]
