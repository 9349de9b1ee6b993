"""SURGE: sequential recommendation with graph neural networks, as released and as in the paper."""

from __future__ import annotations

from model.recommender import ModelDefinition, Stage
from model.surge.objectives import TrainObjective
from model.surge.parameters import PARAMETERS, review
from model.surge.picture import INTEREST_GRAPH
from model.surge.recommender import Surge, build

__all__ = ["DEFINITION", "Surge"]

DEFINITION = ModelDefinition(
    name="SURGE",
    summary="Graph of a user's items, pooled to a short sequence of interests, read by a gated unit.",
    parameters=PARAMETERS,
    stages=(Stage(name="train", epochs_key="epochs", validates=True, objective=TrainObjective),),
    build=build,
    review=review,
    pictures=(INTEREST_GRAPH,),
)
