"""Importances of small studies tell parameters apart."""

from __future__ import annotations

import itertools

import optuna

from tuner.insight.importance import EVALUATORS


def test_in_a_grid_of_eight_the_deciding_parameter_comes_first() -> None:
    study = optuna.create_study(direction="maximize")
    choices = optuna.distributions.CategoricalDistribution([0, 1])
    for number, (a, b, c) in enumerate(itertools.product([0, 1], repeat=3)):
        params = {"decides": a, "hardly": b, "nothing": c}
        study.add_trial(
            optuna.trial.create_trial(
                params=params, distributions=dict.fromkeys(params, choices), value=a + 0.01 * b + 0.0001 * number
            )
        )
    shares = optuna.importance.get_param_importances(study, evaluator=EVALUATORS["ped_anova"](8))
    assert next(iter(shares)) == "decides"
    assert shares["decides"] > 0.9
