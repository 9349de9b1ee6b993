"""What is of the search and what confirms its results: of slots for SQL, and of Optuna's trials by their attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement

from tuner.store.states import Origin
from tuner.store.tables import Slot
from tuner.store.trial_outcome import CONFIRMS, SLOT


def slot_confirms() -> ColumnElement[bool]:
    """Slots that run the parameters of one of the best trials again."""
    return Slot.origin == Origin.CONFIRM


def slot_of_the_search() -> ColumnElement[bool]:
    """Slots in which the study itself looks for the best."""
    return Slot.origin != Origin.CONFIRM


def trial_confirms(attributes: Mapping[str, Any]) -> bool:
    """Whether the trial with these user attributes runs the parameters of one of the best trials again."""
    return CONFIRMS in attributes


def trial_of_the_search(attributes: Mapping[str, Any]) -> bool:
    """Whether the study itself looked for the best in the trial: it did not begin from it, and it confirms nothing."""
    return SLOT in attributes and not trial_confirms(attributes)
