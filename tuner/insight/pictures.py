"""Pictures that trained models give of a user: what a model offers, and drawing it from a checkpoint.

Drawing reads the data set and runs a model once; it trains nothing.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path

import plotly.graph_objects as go

from model.definition import Picture
from model.pictures import Restored, restore
from model.registry import get_model, model_names
from tuner.insight.theme import THEMES

# A select with more entries than this helps nobody; the command line takes any user.
MOST_USERS = 500
# Two requests for one checkpoint read it once.
_lock = threading.Lock()


def pictures_of(model: str) -> tuple[Picture, ...]:
    """What a model offers; nothing for a model that is not installed here."""
    return get_model(model).pictures if model in model_names() else ()


def users_of(checkpoint: Path) -> list[str]:
    """Users that pictures of this checkpoint can be drawn of, evenly chosen where there are many.

    Raises:
        ModelError: the checkpoint or its data can't be used here.
    """
    users = _open(checkpoint).users()
    step = -(-len(users) // MOST_USERS) or 1
    return users[::step]


def picture(checkpoint: Path, name: str, user: str, theme: str = "light") -> go.Figure:
    """One picture in the theme's colors.

    Raises:
        ModelError: the checkpoint or its data can't be used here, or there is no such picture or user.
    """
    with _lock:
        drawn = _drawn(checkpoint, checkpoint.stat().st_mtime_ns if checkpoint.is_file() else 0, name, user)
    figure = go.Figure(drawn)
    figure.update_layout(template=THEMES[theme].template, title=None, margin={"t": 32})
    figure.update_annotations(font={"size": 12, "color": THEMES[theme].muted})
    return figure


def _open(checkpoint: Path) -> Restored:
    with _lock:
        return _restored(checkpoint, checkpoint.stat().st_mtime_ns if checkpoint.is_file() else 0)


@lru_cache(maxsize=2)
def _restored(checkpoint: Path, _written: int) -> Restored:
    return restore(checkpoint)


@lru_cache(maxsize=32)
def _drawn(checkpoint: Path, written: int, name: str, user: str) -> go.Figure:
    return _restored(checkpoint, written).draw(user, name)
