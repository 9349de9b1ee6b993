"""SURGE: sequential recommendation with graph neural networks, as released and as in the paper."""

from __future__ import annotations

from model.definition import ModelDefinition, Picture, Stage, lazily
from model.surge.parameters import PARAMETERS, review

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
    stages=(
        Stage("train", epochs_key="epochs", validates=True, objective=lazily("model.surge.objectives:TrainObjective")),
    ),
    build=lazily("model.surge.recommender:build"),
    review=review,
    pictures=(Picture("interest-graph", "Interest graph", draw=lazily("model.surge.picture:draw_user")),),
    search_space=SEARCH_SPACE,
)
