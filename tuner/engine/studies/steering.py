"""Finding studies, and the verbs that people have for them.

Where a verb needs Optuna it is imported within: the others are quick on the command line.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from tuner.engine.files.artifact_store import check_store
from tuner.engine.files.artifacts import study_folder
from tuner.engine.studies.record import StudyRecord, record
from tuner.errors import StudyStateError
from tuner.settings import Settings
from tuner.store import Database, StudyState
from tuner.store import events as event_rows
from tuner.store import slots as slot_rows
from tuner.store import studies as study_rows
from tuner.store.states import GOING_STUDY_STATES
from tuner.store.tables import Study

# In which states of a study a verb changes something; where it has had its effect already it is allowed too.
CHANGES: Mapping[str, tuple[StudyState, ...]] = {
    "pause": (StudyState.QUEUED, StudyState.RUNNING),
    "resume": (StudyState.PAUSED, StudyState.STOPPED),
    "stop": (StudyState.QUEUED, StudyState.RUNNING, StudyState.PAUSED),
    "cancel": GOING_STUDY_STATES,
}


def find(database: Database, name_or_id: str | int) -> StudyRecord:
    """The study of that name, else of that id.

    Raises:
        StudyNotFound: there is none.
    """
    with database.session() as session:
        return record(study_rows.find_study(session, name_or_id))


def pause(database: Database, name_or_id: str | int) -> StudyRecord:
    """Start no new trials; running ones go on. A paused study stays paused, also when an outage is over that paused it.

    Raises:
        StudyStateError: the study is stopping or has ended.
    """
    with database.transaction() as session:
        study = study_rows.find_study(session, name_or_id, lock=True)
        if study.state is not StudyState.PAUSED or study.outage is not None:
            _require(study, "pause", StudyState.PAUSED)
            study_rows.set_state(session, study, StudyState.PAUSED, "paused by request")
        return record(study)


def resume(database: Database, name_or_id: str | int) -> StudyRecord:
    """Go on with a paused or stopped study. A running one stays running.

    Raises:
        StudyStateError: the study was cancelled, is stopping, or has nothing left to do.
    """
    with database.transaction() as session:
        study = study_rows.find_study(session, name_or_id, lock=True)
        if study.state in (StudyState.QUEUED, StudyState.RUNNING):
            return record(study)
        _require(study, "resume")
        if not slot_rows.has_unended(session, study.id):
            raise StudyStateError(f"{study.name} has no trials left to run. Raise its budget (max_trials) instead.")
        study_rows.set_state(session, study, study_rows.going(study), "resumed by request")
        return record(study)


def stop(database: Database, name_or_id: str | int) -> StudyRecord:
    """Finish what runs, then end, without confirmations that have not begun. A stopped study stays so.

    Raises:
        StudyStateError: the study has ended otherwise.
    """
    from tuner.engine.course.ending import end_soon

    with database.transaction() as session:
        study = study_rows.find_study(session, name_or_id, lock=True)
        if study.state not in (StudyState.STOPPED, StudyState.STOPPING):
            _require(study, "stop")
            end_soon(session, study, StudyState.STOPPED, "stopped by request")
        elif study.state is StudyState.STOPPING and study.ends_as is not StudyState.STOPPED:
            slot_rows.leave_out_confirmations(session, study.id)
            study.ends_as, study.reason = StudyState.STOPPED, f"{study.reason}; then stopped by request"
        return record(study)


def cancel(database: Database, name_or_id: str | int) -> StudyRecord:
    """End at once: running trials are abandoned, waiting ones will not run.

    Raises:
        StudyStateError: the study has ended otherwise.
    """
    with database.transaction() as session:
        study = study_rows.find_study(session, name_or_id, lock=True)
        if study.state is not StudyState.CANCELLED:
            if study.state.ended:
                raise StudyStateError(f"{study.name} has ended already: it is {study.state}.")
            slot_rows.abandon_waiting(session, study.id)
            study_rows.set_state(session, study, StudyState.CANCELLED, "cancelled by request")
        return record(study)


def delete_study(database: Database, settings: Settings, name_or_id: str | int) -> None:
    """Delete a study that has ended, with its trials and files. Shared stages stay for other studies.

    Raises:
        StudyNotFound: there is none (any more).
        StudyStateError: it has not ended, or trials of it are still being abandoned.
        WrongStore: the artifact folder is another database's, and so are the files in it.
    """
    import optuna

    from tuner.engine.search.optuna_log import optuna_quiet

    with database.session() as session:
        study = study_rows.find_study(session, name_or_id)
        running = slot_rows.count_running(session, study.id)
    if not study.state.ended and study.state is not StudyState.QUEUED:
        raise StudyStateError(f"{study.name} is {study.state}. Cancel it first.")
    if running:
        raise StudyStateError(f"{running} trials of {study.name} are still ending. Try again in a moment.")
    check_store(database, settings.artifacts)
    # The row goes last, so that a crash on the way leaves a study that can be deleted again.
    with optuna_quiet():
        if study.optuna_name in optuna.get_all_study_names(database.storage):
            optuna.delete_study(study_name=study.optuna_name, storage=database.storage)
    shutil.rmtree(study_folder(settings.artifacts, study.id), ignore_errors=True)
    with database.transaction() as session:
        # Its own events go with it, this one stays: ids of events are never given out twice.
        event_rows.add_event(session, None, "deleted", f"{study.name} was deleted.")
        study_rows.remove(session, study_rows.find_study(session, study.id))


def _require(study: Study, verb: str, *also: StudyState) -> None:
    states = (*CHANGES[verb], *also)
    if study.state not in states:
        allowed = ", ".join(states)
        raise StudyStateError(f"Can't {verb} {study.name}: it is {study.state}, and must be {allowed}.")
