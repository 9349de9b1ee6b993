"""What trials leave in Optuna: written and read as one."""

from __future__ import annotations

from tuner.store.trial_outcome import OUTCOME, TrialOutcome


def test_an_outcome_is_read_as_it_was_written() -> None:
    outcome = TrialOutcome(best_epoch=3, valid_result={"ndcg@10": 0.1}, seconds={"finetune": 2.0}, values={"a": 1})
    assert set(outcome.attributes) == {"best_epoch", "valid_result", "seconds", "values"}
    assert TrialOutcome.read({**outcome.attributes, "slot": 7}) == outcome


def test_the_attributes_have_the_names_that_databases_have() -> None:
    names = "best_epoch valid_result test_result seconds values protocol error same_as inputs"
    assert tuple(names.split()) == OUTCOME
