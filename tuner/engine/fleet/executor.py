"""Where workers run. An executor starts, lists and stops them; data and results go other ways."""

from __future__ import annotations

from typing import Protocol

from tuner.settings import Settings


class Executor(Protocol):
    """A place for workers. One more place = one more module here with such a class."""

    def start(self, settings: Settings) -> str:
        """Start a worker; returns its id (``rectuner_workers.id``)."""

    def list(self) -> dict[str, bool]:
        """The workers started here and not yet stopped or reported dead: id -> whether it is alive.

        A worker that is not alive is reported once.
        """

    def stop(self, worker_id: str, *, kill: bool = False) -> None:
        """Ask a worker to finish its epoch and end, or end it at once."""
