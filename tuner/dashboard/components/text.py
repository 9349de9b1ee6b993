"""Numbers and times as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tuner.store.tables import utc_now


def duration(seconds: float | None) -> str:
    """Two units at most: ``3 min 12 s``, ``2 h 4 min``, ``5 d 3 h``."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s" if seconds >= 10 or seconds == 0 else f"{seconds:.1f} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def ago(moment: datetime | None) -> str:
    """Coarse on purpose, so that a page does not change every second."""
    if moment is None:
        return "–"
    seconds = (utc_now() - moment).total_seconds()
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 86400:
        return f"{int(seconds // 3600)} h ago"
    return f"{int(seconds // 86400)} d ago"


def at(moment: datetime | None) -> str:
    """For tooltips: the moment in full."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC") if moment else ""


def score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def value(anything: Any) -> str:
    """A parameter's value: whole numbers without a point, others with four significant digits."""
    if isinstance(anything, bool) or anything is None:
        return str(anything)
    if isinstance(anything, float):
        return str(int(anything)) if anything.is_integer() and abs(anything) < 1e15 else f"{anything:.4g}"
    return str(anything)


def params(named: Mapping[str, Any] | None) -> str:
    """Parameters in one line."""
    return " · ".join(f"{name} {value(given)}" for name, given in (named or {}).items())


def loss(number: float | None) -> str:
    return "–" if number is None else f"{number:,.4g}" if abs(number) < 1000 else f"{number:,.1f}"
