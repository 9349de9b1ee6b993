"""Search spaces: params files in, typed spaces out."""

from __future__ import annotations

from tuner.space.formats import MAX_BYTES, SpaceFormat, decode, formats, from_document, load, parse, register
from tuner.space.parameter import PARAMETER_TYPES, SpaceParameter
from tuner.space.space import SearchSpace

__all__ = [
    "MAX_BYTES",
    "PARAMETER_TYPES",
    "SearchSpace",
    "SpaceFormat",
    "SpaceParameter",
    "decode",
    "formats",
    "from_document",
    "load",
    "parse",
    "register",
]
