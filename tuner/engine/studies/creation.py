"""Creating a study: everything is checked first, so that on an error nothing was created."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning
from optuna.trial import FrozenTrial

from model.protocol import metric_label, protocol_of
from tuner.engine.datasets import DatasetCache
from tuner.engine.plan import GridPoint, Plan, make_plan
from tuner.engine.search import samplers
from tuner.engine.search.optuna_log import optuna_quiet
from tuner.engine.studies import warm_start
from tuner.engine.studies.choice import Choice, choose
from tuner.engine.studies.draft import Draft, draft
from tuner.engine.studies.inputs import check_inputs, pinned
from tuner.engine.studies.record import StudyRecord, record
from tuner.errors import SpecificationError, StudyExists
from tuner.settings import Settings
from tuner.specification import StudySpecification
from tuner.store import Database, IntegrityError, StudyState
from tuner.store import events as event_rows
from tuner.store import studies as study_rows
from tuner.store.states import Origin
from tuner.store.tables import Study
from tuner.store.trial_outcome import WARM_START

# Marks the Optuna studies that are ours: what a crash left of a creation can be told from other people's.
MARK = "rectuner"
# A creation that has not ended after this long never will.
_CREATION_SECONDS = 60.0


def create(database: Database, settings: Settings, study: Draft | StudySpecification) -> StudyRecord:
    """Look at a study's data set and at what it begins from, then create it; on an error nothing is created.

    Args:
        settings: of the installation that will keep the study's files.
        study: what ``assemble`` returned, or a specification, which is read and checked first.

    Raises:
        StudyExists: the name is taken.
        SpecificationError, SpaceError, ModelError: what is wrong with the specification, and the fix.
    """
    asked = study if isinstance(study, Draft) else draft(make_plan(study))
    _refuse_taken_name(database, asked.specification.name)
    choice = asked.choice or choose(asked.plan)
    assert choice is not None  # or what is wrong with it was raised
    check_inputs(asked.plan, DatasetCache(settings.prepared_gb * 1e9).load)
    asked = replace(asked, plan=pinned(asked.plan))
    warm = warm_start.gather(database, asked.plan, choice.sampler.name)
    slots = _slots(asked.plan, choice.sampler)
    settings.artifacts.mkdir(parents=True, exist_ok=True)
    with _created_together(database, asked.plan, warm.trials) as optuna_id:
        created = _add_study(database, asked.plan, choice, optuna_id, slots, warm.notes)
    return record(created, (*asked.notes, *warm.notes))


def _add_study(
    database: Database,
    plan: Plan,
    choice: Choice,
    optuna_id: int,
    slots: Sequence[dict[str, Any]],
    notes: Sequence[str],
) -> Study:
    """Write the study with its slots, in one transaction."""
    specification, sampler = plan.specification, choice.sampler
    study = Study(
        name=specification.name,
        specification=specification.model_dump(mode="json"),
        optuna_name=specification.name,
        optuna_id=optuna_id,
        metric=plan.metric,
        direction=plan.direction,
        sampler=sampler.record,
        pruner=choice.pruner,
        max_trials=sampler.max_trials,
        workers=specification.workers,
        state=StudyState.QUEUED,
    )
    try:
        with database.transaction() as session:
            study_rows.add_study(session, study, slots)
            event_rows.add_event(session, study.id, "created", f"{len(slots)} trials, sampler {sampler.name}.")
            for note in notes:
                event_rows.add_event(session, study.id, "warm_start", note)
    except IntegrityError:
        # Another process may have created the name meanwhile. Anything else is told as it is.
        _refuse_taken_name(database, specification.name)
        raise
    return study


@contextmanager
def _created_together(database: Database, plan: Plan, begin_from: Sequence[FrozenTrial]) -> Iterator[int]:
    """The id of a new Optuna study, which does not outlive an error in the block.

    A process that is killed leaves it; its mark tells who creates the name next that it is nobody's.
    """
    name, storage = plan.specification.name, database.storage
    mark = {"model": plan.definition.name, "dataset": plan.specification.dataset, "created": time.time()}
    study = _new_optuna_study(database, plan)
    try:
        with optuna_quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_user_attr(MARK, mark)
            study.set_metric_names([metric_label(plan.metric, protocol_of(plan.fixed))])
            study.add_trials(begin_from)
        yield storage.get_study_id_from_name(name)
    except BaseException:
        with suppress(Exception):  # of two errors the first one says what happened
            found = storage.get_study_id_from_name(name)
            # Another's, if this process took so long that its own was taken for a leftover.
            if storage.get_study_user_attrs(found).get(MARK) in (None, mark):
                storage.delete_study(found)
        raise


def grid_slot(point: GridPoint, ordinal: int) -> dict[str, Any]:
    """The slot of one combination."""
    return {
        "ordinal": ordinal,
        "origin": Origin.GRID,
        "parameters": point.parameters,
        "group_key": point.group_key,
        "stage_epochs": point.stage_epochs,
    }


def sampled_slot(ordinal: int) -> dict[str, Any]:
    """The slot of a trial whose parameters the sampler will choose."""
    return {
        "ordinal": ordinal,
        "origin": Origin.SAMPLED,
        "parameters": None,
        "group_key": None,
        "stage_epochs": None,
    }


def _slots(plan: Plan, sampler: samplers.Choice) -> list[dict[str, Any]]:
    if sampler.name == samplers.EXHAUSTIVE:
        return [grid_slot(point, place) for place, point in enumerate(plan.grid(sampler.max_trials))]
    return [sampled_slot(place) for place in range(sampler.max_trials)]


def _new_optuna_study(database: Database, plan: Plan) -> optuna.Study:
    name = plan.specification.name
    with optuna_quiet():
        try:
            return optuna.create_study(storage=database.storage, study_name=name, direction=plan.direction)
        except DuplicatedStudyError:
            _remove_leftover(database, name)
        try:
            return optuna.create_study(storage=database.storage, study_name=name, direction=plan.direction)
        except DuplicatedStudyError:  # another process was faster with the same leftover
            raise _taken(name) from None


def _remove_leftover(database: Database, name: str) -> None:
    """Delete the Optuna study that a process left which died while creating a study of this name."""
    try:
        existing = optuna.load_study(study_name=name, storage=database.storage)
    except KeyError:  # another process has removed it
        return
    mark = existing.user_attrs.get(MARK)
    begun = any(WARM_START not in trial.user_attrs for trial in existing.get_trials(deepcopy=False))
    if mark is None or begun:
        raise StudyExists(f"The database has an Optuna study {name!r} that was not made here. Choose another name.")
    if time.time() - mark["created"] < _CREATION_SECONDS:
        raise _taken(name)
    with suppress(KeyError):
        optuna.delete_study(study_name=name, storage=database.storage)


def _refuse_taken_name(database: Database, name: str) -> None:
    if name.isdecimal():
        raise SpecificationError(
            f"name = {name!r}: a study's name is not all digits, for studies are asked for by their ids, too. "
            f"Write, for example, study-{name}."
        )
    with database.session() as session:
        if study_rows.is_taken(session, name):
            raise _taken(name)


def _taken(name: str) -> StudyExists:
    return StudyExists(f"There is a study {name!r} already. Choose another name, or delete that study.")
