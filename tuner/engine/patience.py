"""Waiting for a database that is away for a while."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from tuner.store import Database, Session

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

# What a database raises that is away, or too busy to answer.
UNAVAILABLE = (OperationalError, InterfaceError, StorageInternalError)
# What SQLite says when its disk is full, or may not be written to any more.
FULL = ("SQLITE_FULL", "SQLITE_READONLY")
# Then the worker gives up and exits; whoever started it may start another.
PATIENCE_SECONDS = 600.0


def patiently(step: Callable[[], Result], *, also_full: bool = False) -> Result:
    """The result of ``step``, repeated with growing pauses while the database is away.

    ``step`` must do the same when it is run twice, since a commit may have happened without an answer.

    Args:
        also_full: wait for a full disk too; for what gives back a trial because of that.
    """
    for attempt in Retrying(
        retry=retry_if_exception(lambda error: may_pass(error) or (also_full and sqlite_error(error) in FULL)),
        wait=wait_random_exponential(multiplier=0.2, max=10.0),
        stop=stop_after_delay(PATIENCE_SECONDS),
        before_sleep=_report,
        reraise=True,
    ):
        with attempt:
            return step()
    raise AssertionError("tenacity ends with a result or an exception")


def transact(database: Database, step: Callable[[Session], Result], *, also_full: bool = False) -> Result:
    """The result of ``step`` in one transaction, repeated as :func:`patiently` does."""
    return patiently(lambda: database.run(step), also_full=also_full)


def may_pass(error: BaseException) -> bool:
    """Whether the error is one of a database that may be back soon."""
    if not isinstance(error, UNAVAILABLE):
        return False
    # A full disk is said, not waited for in silence; a missing table does not come back.
    return sqlite_error(error) not in (*FULL, "SQLITE_ERROR")


def sqlite_error(error: BaseException) -> str | None:
    """SQLite's name of the error (``SQLITE_FULL``), None when it is not one of SQLite."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    original = cause.orig if isinstance(cause, DBAPIError) else None
    return original.sqlite_errorname if isinstance(original, sqlite3.Error) else None


def _report(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.warning("The database is away (%s); trying again.", str(error).splitlines()[0] if error else "?")
