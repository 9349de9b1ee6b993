"""Popularity: recommend what is chosen most often. The baseline that every study is compared with.

It has no stage, because there is nothing to train; it is also the shortest example of a model.
"""

from __future__ import annotations

from model.definition import ModelDefinition, lazily

DEFINITION = ModelDefinition(
    name="Popularity",
    summary="Recommends what is chosen most often; needs no training.",
    parameters=(),
    stages=(),
    build=lazily("model.popularity.recommender:build"),
)
