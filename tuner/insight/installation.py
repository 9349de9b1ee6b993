"""The installation as people look at it: is the database there, who works, which data sets are at hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from model.data import catalog
from tuner.insight.queries import workers as worker_queries
from tuner.store import Database, SQLAlchemyError
from tuner.store import studies as study_rows
from tuner.store import workers as worker_rows

# Newest first, so that a long-lived installation shows its present.
MOST_WORKERS = 200


@dataclass(frozen=True)
class Health:
    """``problem`` says why the database does not answer, in its own words."""

    database: str
    database_ok: bool
    problem: str | None
    workers_alive: int
    studies: dict[str, int]


@dataclass(frozen=True)
class WorkerSummary:
    """A worker process; ``alive``: heard of within its lease."""

    id: str
    host: str
    pid: int
    state: str
    alive: bool
    started_at: datetime
    heartbeat_at: datetime


@dataclass(frozen=True)
class DatasetSummary:
    """A data set by name. ``folder`` is where its files are, None when it has to be fetched first."""

    name: str
    description: str
    licence: str | None
    fetchable: bool
    folder: str | None


def health(database: Database) -> Health:
    """What works; never raises because something does not."""
    name = database.url.get_backend_name()
    try:
        with database.session() as session:
            workers = sum(worker_rows.count_alive(session, database.now(session)).values())
            studies = {str(state): count for state, count in study_rows.count_by_state(session).items()}
            return Health(name, True, None, workers, studies)
    except SQLAlchemyError as error:
        return Health(name, False, str(getattr(error, "orig", None) or error), 0, {})


def workers_alive(database: Database) -> int:
    """Workers of the installation that were heard of within their lease."""
    with database.session() as session:
        return sum(worker_rows.count_alive(session, database.now(session)).values())


def list_workers(database: Database) -> tuple[WorkerSummary, ...]:
    """The workers that started last."""
    with database.session() as session:
        now = database.now(session)
        return tuple(
            WorkerSummary(
                worker.id,
                worker.host,
                worker.pid,
                str(worker.state),
                worker.ended_at is None and worker.lease_expires > now,
                worker.started_at,
                worker.heartbeat_at,
            )
            for worker in worker_queries.last_started(session, MOST_WORKERS)
        )


def list_datasets(data_path: str | Path = "dataset") -> tuple[DatasetSummary, ...]:
    """Data sets that can be used or fetched: those of ``data_path``, the cache and the catalogue, by name."""
    folders: dict[str, Path] = {}
    for root in (Path(data_path), catalog.cache_root()):
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            if any(folder.glob(f"{folder.name}*.inter")):
                folders.setdefault(folder.name, folder.resolve())
    summaries = []
    for name in sorted({*folders, *catalog.DATASETS}):
        source = catalog.DATASETS.get(name)
        summaries.append(
            DatasetSummary(
                name=name,
                description=source.description if source else "Atomic files on this machine.",
                licence=source.licence if source else None,
                fetchable=source is not None,
                folder=str(folders[name]) if name in folders else None,
            )
        )
    return tuple(summaries)
