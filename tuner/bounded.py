"""What a request asks for, over REST or on the launch page: checked, and within what requests may ask for."""

from __future__ import annotations

from functools import partial

from tuner.assembly import assemble
from tuner.engine.studies.choice import choose
from tuner.engine.studies.draft import Draft
from tuner.limits import check_limits, check_size
from tuner.reach import check_reach
from tuner.settings import Settings
from tuner.space import SearchSpace
from tuner.specification import StudyOptions


def assemble_bounded(settings: Settings, options: StudyOptions, space: SearchSpace) -> Draft:
    """The study that a request asks for.

    Raises:
        SpaceError, ConfigError, SpecificationError: what is wrong with it, or more than a request may ask for; all of
            it where it is several things.
    """
    check_size(options.config, "config")
    return assemble(options, space, bounds=(check_limits, partial(check_reach, settings=settings)), choose=choose)
