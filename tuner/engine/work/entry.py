"""Starting a worker: in this process, or as the program that a supervisor starts."""

from __future__ import annotations

import argparse
import logging
import os
import sys

import optuna
import torch

from tuner.engine.patience import patiently
from tuner.engine.work.worker import WorkerLoop, WorkerOptions
from tuner.errors import TunerError
from tuner.settings import Settings
from tuner.store import Database

_log = logging.getLogger(__name__)


def run_worker(settings: Settings, *, study: str | None = None, exit_when_idle: bool = False) -> None:
    """Work on claimed trials until told to stop (SIGTERM, Ctrl-C) or, if asked to, until there is no work.

    Raises:
        DatabaseError: the database can't be used.
        WrongStore: the artifact folder is not the database's.
        StudyNotFound: there is no such study.
    """
    run_with(settings, WorkerOptions(study, 0.0 if exit_when_idle else None))


def run_with(settings: Settings, options: WorkerOptions) -> None:
    """``run_worker`` with everything that a supervisor sets."""
    torch.set_num_threads(settings.worker_threads)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if settings.data_root is not None:
        os.environ["TUNER_DATA_ROOT"] = str(settings.data_root)
    database = Database(settings.database)
    patiently(database.upgrade)
    try:
        WorkerLoop(database, settings, options).run()
    finally:
        database.close()


def main(arguments: list[str] | None = None) -> int:
    """``python -m tuner.engine.work.entry``: how a supervisor starts one; settings come from the environment."""
    parser = argparse.ArgumentParser(prog="tuner.engine.work.entry")
    parser.add_argument("--id", default=None)
    parser.add_argument("--parent", type=int, default=None)
    parser.add_argument("--study", default=None)
    parser.add_argument("--idle-exit", type=float, default=None)
    chosen = parser.parse_args(arguments)
    settings = Settings()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        run_with(settings, WorkerOptions(chosen.study, chosen.idle_exit, chosen.parent, chosen.id))
    except TunerError as error:
        _log.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
