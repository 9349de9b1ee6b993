"""Optuna's own log, which tells our users little."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import optuna


@contextmanager
def optuna_quiet(level: int = logging.WARNING) -> Iterator[None]:
    """Without Optuna's lines below ``level``; by default those about creating and deleting studies."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(level)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
