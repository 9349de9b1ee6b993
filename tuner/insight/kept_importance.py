"""Importances for a service: found on a thread of their own, once for everybody who asks, and kept.

Whoever asks gets at once what is kept. A forest of many trees takes seconds; as many browsers as there are share one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tuner.errors import StudyNotFound
from tuner.insight.evidence import AUTO, Mark, check, mark_of, too_little
from tuner.insight.importance import importances
from tuner.insight.summaries import Importances
from tuner.store import Database, SQLAlchemyError
from tuner.store import studies as study_rows

_log = logging.getLogger(__name__)

_Key = tuple[str, int, str]

# What is kept, and what waits to be found.
MOST_KEPT = 100
MOST_WAITING = 20
# A study that goes on is looked at again when it has grown by a tenth, or after so long.
_AGE_SECONDS = 60.0
_GROWTH = 1.1


@dataclass(frozen=True)
class _Kept:
    mark: Mark
    found: Importances
    at: float


class ImportanceKeeper:
    """Keeps the last result of each study and evaluator, and finds a newer one when it is asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._waiting: set[_Key] = set()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="importance")

    def get(self, database: Database, name: str | int, evaluator: str = AUTO) -> Importances:
        """What is known now; ``pending`` when something newer is being found. It never computes.

        Raises:
            StudyNotFound: there is no such study.
            ValueError: there is no such evaluator.
        """
        check(evaluator)
        with database.session() as session:
            study = study_rows.find_study(session, name)
            mark = mark_of(session, study)
        if (early := too_little(study, mark, evaluator)) is not None:
            return early
        key = (str(database.url), study.id, evaluator)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
            if kept is None or _outdated(kept, mark):
                self._find(database, key, mark)
            pending = key in self._waiting
        if kept is None:
            return Importances("", "", 0, mark.completed, reason="being computed", pending=True)
        return replace(kept.found, pending=pending)

    def wait(self) -> None:
        """Until everything that was asked for is found."""
        self._thread.submit(lambda: None).result()

    def _find(self, database: Database, key: _Key, mark: Mark) -> None:
        """Put the study in line, once, if the line is not too long: whoever asks again finds room later."""
        if key in self._waiting or len(self._waiting) >= MOST_WAITING:
            return
        self._waiting.add(key)
        self._thread.submit(self._found, database, key, mark)

    def _found(self, database: Database, key: _Key, mark: Mark) -> None:
        found: Importances | None = None
        try:
            found = importances(database, key[1], key[2])
        except (SQLAlchemyError, StudyNotFound) as error:
            _log.info("Importances of study %d have to be asked for again: %s", key[1], error)
        except Exception as error:  # noqa: BLE001 - said on the page, and logged
            # It would fail again: kept like a result, until there are more trials.
            _log.exception("Importances of study %d can't be computed.", key[1])
            found = Importances(key[2], "", 0, mark.completed, reason=f"they could not be computed ({error})")
        finally:
            with self._lock:
                self._waiting.discard(key)
                if found is not None:
                    self._kept[key] = _Kept(mark, found, time.monotonic())
                while len(self._kept) > MOST_KEPT:
                    self._kept.popitem(last=False)


def _outdated(kept: _Kept, mark: Mark) -> bool:
    if kept.mark == mark:
        return False
    grown = mark.completed >= _GROWTH * kept.mark.completed
    return grown or mark.completed < kept.mark.completed or time.monotonic() - kept.at > _AGE_SECONDS


# One for the process: browsers, programs and pages share it.
KEEPER = ImportanceKeeper()
