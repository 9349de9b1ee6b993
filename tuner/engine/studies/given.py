"""Pretrained models that trials begin from (``pre_model_path``), looked at before the study is created."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

from model.checkpoint import SHAPING, check_made_for
from model.errors import CheckpointError
from tuner.engine.plan import Plan
from tuner.errors import SpaceError
from tuner.space import SpaceParameter
from tuner.space.check import extremes
from tuner.specification import GIVEN

# Beyond so many combinations of searched values each path is tried with the first and the last ones only.
_MOST_COMBINATIONS = 500


def check_given(plan: Plan) -> None:
    """Check that every pretrained model that a trial would begin from is there, is one, and fits the trial.

    Raises:
        SpaceError: a searched path, or a searched value beside it, does not do; names its line.
        CheckpointError: the fixed path does not do.
    """
    fine: set[Any] = set()
    for values in _combinations(plan):
        config = plan.config.for_stage(plan.own_stage.name, values)
        path = plan.given_checkpoint(config)
        case = (path, *(config.get(key) for key in SHAPING))
        if path is None or case in fine:
            continue
        try:
            check_made_for(path, config)
        except CheckpointError as error:
            raise _located(error, plan, values) from None
        fine.add(case)


def _combinations(plan: Plan) -> Iterator[dict[str, Any]]:
    """The searched paths with all values of the searched keys that decide whether one fits."""
    own = [parameter for parameter in plan.space.parameters if parameter.stage in (None, plan.own_stage.name)]
    varied = [parameter for parameter in own if parameter.key == GIVEN or parameter.key in SHAPING]
    options = [list(extremes(parameter)) for parameter in varied]
    if math.prod(map(len, options)) > _MOST_COMBINATIONS:
        options = [
            values if parameter.key == GIVEN else [values[0], values[-1]]
            for parameter, values in zip(varied, options, strict=True)
        ]
    names = [parameter.name for parameter in varied]
    for combination in itertools.product(*options):
        yield dict(zip(names, combination, strict=True))


def _located(error: CheckpointError, plan: Plan, values: dict[str, Any]) -> CheckpointError | SpaceError:
    """The complaint with the line of the searched path, or of the searched value that does not fit the fixed one."""
    searched = [parameter for parameter in plan.space.parameters if parameter.name in values]
    about: SpaceParameter | None = next((parameter for parameter in searched if parameter.key == GIVEN), None)
    about = about or next((parameter for parameter in searched if parameter.key in str(error)), None)
    if about is None:
        return type(error)(f"{GIVEN} = {plan.fixed[GIVEN]!r}: {error}")
    column = None if about.line is None else 1
    fix = "Correct the path, or remove it; '' among the options stands for pretraining of the trial's own."
    if about.key != GIVEN:
        fix = "Remove the value, or do without pre_model_path."
    problem = f"{about.name} = {values[about.name]!r}: {error}"
    return SpaceError(problem, fix, file=plan.space.file, line=about.line, column=column)
