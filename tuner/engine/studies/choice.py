"""How a study will search: the sampler and the pruner that its specification means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tuner.engine.course import confirmation
from tuner.engine.plan import Plan
from tuner.engine.search import pruners, samplers
from tuner.errors import Problems


@dataclass(frozen=True)
class Choice:
    """Sampler and pruner as the study records them."""

    sampler: samplers.Choice
    pruner: dict[str, Any]


def choose(plan: Plan, problems: Problems | None = None) -> Choice | None:
    """What the study searches with; None where something of it is wrong.

    Args:
        problems: gathers what is wrong; without it that is raised.

    Raises:
        SpecificationError: a sampler or pruner that does not take the space or its options, or a confirmation of a
            searched seed.
    """
    gathered = problems or Problems()
    sampler = gathered.gather(lambda: samplers.choose(plan.specification, plan.space))
    pruner = gathered.gather(lambda: pruners.choose(plan.specification.pruner))
    gathered.gather(lambda: confirmation.check(plan))
    if problems is None:
        gathered.raise_found()
    return None if sampler is None or pruner is None else Choice(sampler, pruner)
