"""What is of the search, said of slots and of Optuna's trials: the same trials."""

from __future__ import annotations

import sqlalchemy as sa

from tuner.store import Database
from tuner.store.confirmations import slot_confirms, slot_of_the_search, trial_confirms, trial_of_the_search
from tuner.store.states import Origin
from tuner.store.tables import Slot, Study
from tuner.store.trial_outcome import CONFIRMS, SEED, SLOT, WARM_START


def test_a_slot_is_of_the_search_or_confirms(database: Database) -> None:
    names = {"name": "study", "optuna_name": "study", "optuna_id": 1, "metric": "ndcg@10", "direction": "maximize"}
    with database.transaction() as session:
        study = Study(**names, specification={}, sampler={}, pruner={}, max_trials=1)
        session.add(study)
        session.flush()
        session.add_all(Slot(study_id=study.id, ordinal=place, origin=origin) for place, origin in enumerate(Origin))
    with database.session() as session:
        searched = set(session.scalars(sa.select(Slot.origin).where(slot_of_the_search())))
        confirming = set(session.scalars(sa.select(Slot.origin).where(slot_confirms())))
    assert (searched, confirming) == (set(Origin) - {Origin.CONFIRM}, {Origin.CONFIRM})


def test_optunas_trials_are_told_apart_by_what_they_have() -> None:
    searched, confirming, begun_from = {SLOT: 1}, {SLOT: 2, CONFIRMS: 0, SEED: 7}, {WARM_START: {"study": "other"}}
    trials = (searched, confirming, begun_from, {})
    assert [trial_of_the_search(attributes) for attributes in trials] == [True, False, False, False]
    assert [trial_confirms(attributes) for attributes in trials] == [False, True, False, False]
