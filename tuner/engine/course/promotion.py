"""Successive halving that promotes: ASHA (Li et al., 2020, arXiv:1810.05934), with trials that pause.

A trial pauses at every rung (after ``min_resource``, ``min_resource * reduction_factor``, ... epochs of its own
stage), its checkpoint kept. Of n trials that have reached a rung, the best ``n // reduction_factor`` may go on; the
others wait, and may go on later, when n has grown. Where pruning decides once and for all, here a trial that was
ahead of its time is only late. Promotions are decided when a trial arrives, in the transaction that pauses it:
nothing else changes who is among the best of a rung.
"""

from __future__ import annotations

from typing import Any

from optuna.trial import TrialState as OptunaState

from model.protocol import given_protocol
from tuner.engine.course.trial_ending import end_trial
from tuner.engine.search.ladder import Ladder
from tuner.space import SearchSpace
from tuner.store import Database, Session, StudyState, TrialState, trial_record
from tuner.store import claims as claim_rows
from tuner.store import rungs as rung_rows
from tuner.store import studies as study_rows
from tuner.store.claims import Claim
from tuner.store.tables import Study
from tuner.store.trial_outcome import TrialOutcome

# Ending a paused trial takes a few statements; after this somebody else tries.
_LEASE_SECONDS = 30.0


def arrive(database: Database, ladder: Ladder, claim: Claim, epoch: int, score: float) -> bool:
    """Record the trial's arrival at a rung, promote who is now among the best, and pause it if it is not.

    Args:
        score: the trial's best by then.

    Returns:
        Whether the trial goes on; else it was given back, to wait for its promotion.
    """
    rung = ladder.rung(epoch)
    if rung is None:
        return True
    with database.transaction() as session:
        # Who arrives at the same time waits here, and then sees this trial on the rung.
        study = study_rows.get(session, claim.study_id, lock=True)
        if study is None:
            return True
        rung_rows.reach(session, claim.slot_id, rung, epoch, score)
        best = _best(session, study, rung, ladder)
        if study.state is not StudyState.STOPPING:
            rung_rows.promote(session, rung, rung_rows.may_be_promoted(session, best))
        if rung_rows.is_promoted(session, claim.slot_id, rung):
            return True
        claim_rows.release(session, claim, paused_at=epoch, priority=claim_rows.PRIORITY_PAUSED)
        return False


def end_paused(database: Database, study_id: int) -> None:
    """End the study's paused trials as pruned, each with its best value; safe for several processes at once."""
    with database.session() as session:
        study = study_rows.get(session, study_id)
    if study is None:
        return
    while True:
        with database.transaction() as session:
            claim = rung_rows.claim_one(session, database.now(session), study_id, _LEASE_SECONDS)
        if claim is None:
            return
        _prune(database, study, claim)
        with database.transaction() as session:
            claim_rows.finish(session, claim, TrialState.PRUNED)


def _best(session: Session, study: Study, rung: int, ladder: Ladder) -> list[int]:
    """Slots among the best of the rung; of equal ones those that the study has first."""
    there = rung_rows.on_rung(session, study.id, rung)
    sign = -1 if study.direction == "maximize" else 1
    ranked = sorted(there, key=lambda entry: sign * entry.score)
    return [entry.slot_id for entry in ranked[: len(there) // ladder.reduction_factor]]


def _prune(database: Database, study: Study, claim: Claim) -> None:
    number = claim.optuna_number
    if number is None:
        raise AssertionError("a trial has its number before its first epoch")
    with database.session() as session:
        best = trial_record.best_epoch(session, claim.slot_id, study.direction)
        seconds = trial_record.own_seconds(session, claim.slot_id)
    if best is None:
        end_trial(database, study.optuna_name, number, OptunaState.PRUNED, TrialOutcome())
        return
    outcome = TrialOutcome(
        best_epoch=best.epoch,
        valid_result=best.valid_result,
        seconds={best.stage: seconds},
        values=SearchSpace.from_json(study.specification["space"]).values(_parameters(database, study, number)),
        protocol=given_protocol(study.specification["config"]),
    )
    end_trial(database, study.optuna_name, number, OptunaState.PRUNED, outcome, best.valid_score)


def _parameters(database: Database, study: Study, number: int) -> dict[str, Any]:
    storage = database.storage
    study_id = storage.get_study_id_from_name(study.optuna_name)
    return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study_id, number)).params
