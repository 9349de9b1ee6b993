"""A study that was asked for and checked, and is not created yet.

Nothing here needs Optuna: whoever launches a study at a service does without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from model import lookalikes
from model.config import Config
from tuner.engine.plan import Plan
from tuner.errors import Problems
from tuner.space.review import review_space
from tuner.specification import StudySpecification

if TYPE_CHECKING:
    from tuner.engine.studies.choice import Choice


@dataclass(frozen=True)
class Draft:
    """A study, checked as far as that can be without its data set; :func:`creation.create` takes it as it is.

    The data set is looked at where the study is created: who asks may sit at another machine.

    Attributes:
        notes: remarks for the person who asked.
        choice: sampler and pruner, where they were chosen already.
    """

    plan: Plan
    notes: tuple[str, ...]
    choice: Choice | None = None

    @property
    def specification(self) -> StudySpecification:
        return self.plan.specification

    def renamed(self, name: str) -> Draft:
        """The same under another name."""
        specification = self.specification.model_copy(update={"name": name})
        return replace(self, plan=replace(self.plan, specification=specification))


def draft(
    plan: Plan,
    problems: Problems | None = None,
    choose: Callable[[Plan, Problems], Choice | None] | None = None,
) -> Draft:
    """Check and review what a plan's trials will do.

    Args:
        problems: what was found wrong before; it is raised together with what is found here.
        choose: :func:`tuner.engine.studies.choice.choose`, where its errors are wanted now.

    Raises:
        SpaceError, ConfigError, SpecificationError: what is wrong, where, and the fix; all of it where it is several
            things.
    """
    problems = problems or Problems()
    # A space that is wrong in itself would be complained of again, in other words.
    remarks = () if problems.found else problems.gather(lambda: _review(plan))
    choice = None if choose is None else choose(plan, problems)
    problems.raise_found()
    assert remarks is not None  # or something was raised
    return Draft(plan, (*_unknown_keys(plan.config), *plan.config.notes, *plan.space.notes, *remarks), choice)


def _review(plan: Plan) -> tuple[str, ...]:
    remarks = review_space(plan.space, plan.definition, plan.config)
    _check_stages(plan)
    return remarks


def _check_stages(plan: Plan) -> None:
    """Make the configuration of every stage for one set of parameters, so that mistakes show now."""
    parameters = {
        parameter.name: next(iter(parameter.represented()))
        if parameter.size is not None
        else parameter.distribution.low  # type: ignore[attr-defined]
        for parameter in plan.space.parameters
    }
    for stage in plan.definition.stages:
        plan.stage_config(stage, parameters)


def _unknown_keys(config: Config) -> Iterator[str]:
    for key, near in config.unknown.items():
        hint = f" Did you mean {near}?" if near else ""
        yield f"{key} is not a parameter that {config.model} knows; it changes nothing.{hint}{lookalikes.hint(key)}"
