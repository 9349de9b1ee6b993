"""Whether a study has enough trials to tell how much each parameter matters: known by one count, at no cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tuner.insight.queries import trials as trial_queries
from tuner.insight.summaries import Importances
from tuner.space import SearchSpace
from tuner.store import Database, Session
from tuner.store import studies as study_rows
from tuner.store.tables import Study

# The default: exact where the grid is complete, else fANOVA.
AUTO = "auto"
EVALUATORS = (AUTO, "fanova", "ped_anova", "mean_decrease_impurity")

# An estimate from fewer trials than this, or than so many for each parameter, is noise.
FEWEST_TRIALS = 20
FEWEST_PER_PARAMETER = 5


@dataclass(frozen=True)
class Mark:
    """What decides a result: completed trials of the search, and the highest number among them."""

    completed: int
    newest: int


def mark_of(session: Session, study: Study) -> Mark:
    """The study's mark, by one count."""
    return Mark(*trial_queries.completed(session, study))


def lacking(database: Database, name: str | int, evaluator: str = AUTO) -> Importances | None:
    """Why nothing can be said of the study's parameters yet; None where :mod:`tuner.insight.importance` can.

    Raises:
        StudyNotFound: there is no such study.
        ValueError: there is no such evaluator.
    """
    check(evaluator)
    with database.session() as session:
        study = study_rows.find_study(session, name)
        return too_little(study, mark_of(session, study), evaluator)


def check(evaluator: str) -> None:
    """Raises ValueError when there is no such evaluator."""
    if evaluator not in EVALUATORS:
        raise ValueError(f"There is no evaluator {evaluator!r}. Evaluators: {', '.join(EVALUATORS)}.")


def too_little(study: Study, mark: Mark, evaluator: str) -> Importances | None:
    """What can be said without looking at any trial: that there are too few, or that there is nothing to compare."""
    space = SearchSpace.from_json(study.specification["space"])
    nothing = Importances("fanova" if evaluator == AUTO else evaluator, "", 0, mark.completed)
    if len(space.parameters) == 1:
        return replace(nothing, reason="only one parameter is searched")
    fewest = max(FEWEST_TRIALS, FEWEST_PER_PARAMETER * len(space.parameters))
    grid = space.size if evaluator == AUTO else None
    if mark.completed >= fewest or mark.completed == grid:
        return None
    if grid is not None and mark.completed < grid < fewest:
        fewest = grid
    return replace(nothing, reason=f"too few trials ({mark.completed:,} of {fewest:,})")
