"""The baseline that a study's best result has to beat, computed once per study."""

from __future__ import annotations

import logging
from collections.abc import Callable

from model.baseline import baseline
from model.config import Config
from model.data import SequentialDataset
from tuner.engine.outage import is_of_storage
from tuner.engine.patience import patiently, transact
from tuner.engine.plan import Plan
from tuner.engine.work.lease import Interrupted
from tuner.store import Database
from tuner.store import events as event_rows
from tuner.store import studies as study_rows
from tuner.store.tables import Study

_log = logging.getLogger(__name__)

# Another worker may try when the first has not delivered by then.
_SECONDS = 300.0


def compute_baseline(
    database: Database,
    study: Study,
    plan: Plan,
    load: Callable[[Config], SequentialDataset],
    check: Callable[[], None] = lambda: None,
) -> None:
    """Compute and store the study's baseline, unless that is done or being done.

    A study without a baseline is still a study, so a failure is an event and no error.

    Raises:
        OSError, DatasetNotFound: a disk or the data may be away.
        Interrupted: ``check``, which is called between two batches, says so.
    """
    if not patiently(lambda: _is_ours_to_do(database, study.id)):
        return
    config = plan.fixed
    try:
        result = baseline(config, load(config), check)
    except Exception as error:
        # Of a trial that is interrupted or meets an outage: whoever continues it tries again.
        if isinstance(error, Interrupted) or is_of_storage(error):
            transact(database, lambda session: study_rows.give_back_baseline(session, study.id))
            raise
        _log.warning("The baseline of %s could not be computed: %s", study.name, error)
        message = f"The baseline could not be computed: {error}"
        with database.transaction() as session:
            event_rows.add_event(session, study.id, "baseline", message)
        return
    with database.transaction() as session:
        study_rows.write_baseline(session, study.id, result)


def _is_ours_to_do(database: Database, study_id: int) -> bool:
    with database.session() as session:
        if study_rows.get_one(session, study_id).baseline is not None:
            return False
    with database.transaction() as session:
        return study_rows.lease_baseline(session, study_id, database.now(session), _SECONDS)
