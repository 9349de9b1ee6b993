"""What pages and callbacks need from the installation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import FastAPI

from tuner.settings import Settings
from tuner.store import Database


@dataclass(frozen=True)
class Context:
    """The settings, and the database as the application holds it once it has started."""

    settings: Settings
    get_database: Callable[[], Database]

    @property
    def database(self) -> Database:
        return self.get_database()


def context_of(app: FastAPI, settings: Settings) -> Context:
    """A context that uses ``app.state.database``, or opens one of its own when the application has none."""
    own: list[Database] = []

    def get_database() -> Database:
        shared = getattr(app.state, "database", None)
        if isinstance(shared, Database):
            return shared
        if not own:
            own.append(Database(settings.database))
        return own[0]

    return Context(settings, get_database)
