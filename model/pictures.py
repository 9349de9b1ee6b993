"""Pictures that trained models give of one user, from a checkpoint.

    python -m model.pictures saved/SURGE.pth --user 196 --output graph.html

What there is to see, a model says itself: see :class:`model.definition.Picture`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
import torch

from model.checkpoint import at_best_epoch, load_checkpoint, load_weights
from model.config import Config
from model.data import SequentialDataset, load_dataset
from model.data.atomic import read_table
from model.definition import ModelDefinition, Picture
from model.errors import CheckpointError, ConfigError, DataError, ModelError
from model.recommender import Recommender
from model.registry import get_model
from model.run import items_digest
from model.whole_files import whole_file


@dataclass(frozen=True)
class Restored:
    """A trained model with what it was trained on.

    Attributes:
        item_names: what to call each item, by id; the data file's ids where it has no names.
    """

    definition: ModelDefinition
    model: Recommender
    dataset: SequentialDataset
    config: Config
    item_names: Sequence[str]

    def users(self) -> list[str]:
        """Ids, as in the data file, of the users that have enough interactions to be tested on, in their order."""
        tokens = self.dataset.tokens[self.config["USER_ID_FIELD"]]
        return [tokens[user] for user in sorted(set(self.dataset.test.user.tolist()))]

    def draw(self, user: str, picture: str | None = None) -> go.Figure:
        """A picture of a user as the model sees the history before the test item.

        Args:
            user: the id as in the data file.
            picture: its name; the model's first one if None.

        Raises:
            DataError: there is no such user.
            ConfigError: the model has no such picture.
        """
        chosen = find_picture(self.definition, picture)
        tokens = self.dataset.tokens[self.config["USER_ID_FIELD"]]
        number = tokens.index(user) if user in tokens else -1
        rows = (self.dataset.test.user == number).nonzero()[:, 0]
        if not len(rows):
            some = ", ".join(self.users()[:3])
            raise DataError(
                f"user {user!r}: {self.dataset.name} has no such user with enough interactions; try e.g. {some}."
            )
        length = int(self.dataset.test.lengths(rows[:1]))
        history = self.dataset.test.padded(rows[:1], length)[0]
        with torch.no_grad():
            figure = chosen.draw(self.model, history, [self.item_names[item] for item in history.tolist()])
        figure.update_layout(title=f"{chosen.title} of user {user} ({self.dataset.name})")
        return figure


def find_picture(definition: ModelDefinition, name: str | None) -> Picture:
    """The picture of that name, or the first one.

    Raises:
        ConfigError: the model has none, or none of that name.
    """
    there = {picture.name: picture for picture in definition.pictures}
    if not there:
        raise ConfigError(f"{definition.name} has no pictures.")
    if name is None:
        return definition.pictures[0]
    if name not in there:
        raise ConfigError(f"picture {name!r}: {definition.name} has no such picture. There are: {', '.join(there)}.")
    return there[name]


def restore(path: Path, *, data_path: str | None = None, label: str | None = None) -> Restored:
    """The model of a checkpoint with the best epoch's weights, and its data set.

    Args:
        data_path: where the data is now, if not where it was in training.
        label: item column with names; if None, a column that is called so (``movie_title``, ``name``), if any.

    Raises:
        ModelError: the checkpoint or the data can't be used.
    """
    content = at_best_epoch(load_checkpoint(path))
    given = dict(content.get("config") or {})
    name, dataset_name = given.pop("model", None), given.pop("dataset", None)
    if not isinstance(name, str) or not isinstance(dataset_name, str):
        raise CheckpointError(f"{path}: does not say which model and data set it was made with.")
    if data_path is not None:
        given["data_path"] = data_path
    config = Config(name, dataset_name, given)
    dataset = load_dataset(config)
    definition = get_model(name)
    model = definition.build(config, dataset)
    load_weights(model, content, path, config, items_digest(dataset, config))
    return Restored(definition, model.eval(), dataset, config, _item_names(dataset, config, label))


def _item_names(dataset: SequentialDataset, config: Config, label: str | None) -> Sequence[str]:
    """Names from the item file, which is read for itself: more columns of a data set may mean more items."""
    tokens = dataset.tokens[config["ITEM_ID_FIELD"]]
    if label is None and not dataset.item_file.is_file():
        return tokens
    table = read_table(dataset.item_file, "item", config.replace({"load_col": None, "unload_col": None}))
    texts = [column for column, kind in table.types.items() if kind.startswith("token")]
    if label is None:
        likely = [name for name in texts if name != config["ITEM_ID_FIELD"] and ("title" in name or "name" in name)]
        if not likely:
            return tokens
        label = likely[0]
    elif label not in texts:
        raise DataError(
            f"label {label!r}: {dataset.item_file} has no text column of that name; there are: {', '.join(texts)}."
        )
    names = {}
    for token, value in zip(table.frame[config["ITEM_ID_FIELD"]], table.frame[label], strict=True):
        text = " ".join(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        names[token] = text if isinstance(text, str) and text else token
    return [names.get(token, token) for token in tokens]


def save_html(figure: go.Figure, path: Path) -> None:
    """Write a page that needs no network; it appears whole or not at all."""
    with whole_file(path) as file:
        file.write(figure.to_html(include_plotlyjs=True).encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 2 for bad input, with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m model.pictures", description="Draw what a model sees in a user.")
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of a model that has pictures")
    parser.add_argument("--user", help="the user's id as in the data file; the first one unless set")
    parser.add_argument("--picture", help="name of the picture; the model's first one unless set")
    parser.add_argument("--label", help="item column with names, e.g. movie_title")
    parser.add_argument("--data-path", help="folder of the data sets, if it has moved since training")
    parser.add_argument("--output", type=Path, default=Path("picture.html"))
    given = parser.parse_args(arguments)
    try:
        restored = restore(given.checkpoint, data_path=given.data_path, label=given.label)
        user = given.user if given.user is not None else restored.users()[0]
        save_html(restored.draw(user, given.picture), given.output)
    except (ModelError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{given.output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
