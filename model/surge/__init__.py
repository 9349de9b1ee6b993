"""SURGE: sequential recommendation with graph neural networks, as released and as in the paper."""

from __future__ import annotations

from model.recommender import ModelDefinition, Stage
from model.surge.objectives import TrainObjective
from model.surge.parameters import PARAMETERS, review
from model.surge.picture import INTEREST_GRAPH
from model.surge.recommender import Surge, build

__all__ = ["DEFINITION", "Surge"]

SEARCH_SPACE = """\
surge_variant       choice      ['released', 'paper']
learning_rate       loguniform  -8.1,-5.8
pool_length         choice      [10, 20, 30, 40]
relative_threshold  choice      [0.1, 0.3, 0.5, 0.7]
dropout_prob        choice      [0.0, 0.2, 0.4]
"""

DEFINITION = ModelDefinition(
    name="SURGE",
    summary="Graph of a user's items, pooled to a short sequence of interests, read by a gated unit.",
    parameters=PARAMETERS,
    stages=(Stage(name="train", epochs_key="epochs", validates=True, objective=TrainObjective),),
    build=build,
    review=review,
    pictures=(INTEREST_GRAPH,),
    search_space=SEARCH_SPACE,
)
