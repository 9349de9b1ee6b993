"""A data set ready for a sequential model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from model.config import Config
from model.data.atomic import Table
from model.data.benchmark import benchmark_split
from model.data.fields import Ragged, Vocabulary, complete, features_by_id, vocabularies
from model.data.reading import Files, find_files, fingerprint, read_tables
from model.data.sequences import Samples, build_samples
from model.data.splits import split_samples
from model.errors import AttributeColumnMissing, DataError


@dataclass(frozen=True)
class Attributes:
    """The attribute ids of every item, ragged by item id.

    Attributes:
        values: int64 [nnz], ids from 1.
        offsets: int64 [item_num + 1].
        num: number of attribute ids, the padding included.
    """

    values: Tensor
    offsets: Tensor
    num: int

    def multi_hot(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """[item_num, num - 1]: column a - 1 is 1 where the item has attribute a."""
        items = torch.repeat_interleave(torch.arange(len(self.offsets) - 1), self.offsets.diff())
        matrix = torch.zeros(len(self.offsets) - 1, self.num - 1, dtype=dtype)
        matrix[items, self.values - 1] = 1
        return matrix


@dataclass(frozen=True)
class SequentialDataset:
    """Samples of one data set under one configuration.

    Attributes:
        fingerprint: SHA-256 of the files' content and of every configuration key that shapes the data.
        user_num, item_num: numbers of ids, the padding 0 included.
        tokens: for every token column, the text of each id.
        train, valid, test: the split.
        item_features, user_features: the columns of ``.item`` and ``.user`` by id.
    """

    name: str
    fingerprint: str
    user_num: int
    item_num: int
    tokens: Mapping[str, tuple[str, ...]]
    train: Samples
    valid: Samples
    test: Samples
    item_features: Mapping[str, Tensor | Ragged] = field(repr=False)
    user_features: Mapping[str, Tensor | Ragged] = field(repr=False)
    item_file: Path

    def item_attributes(self, name: str, *, missing_sets_last: bool = True) -> Attributes:
        """The attribute column ``name`` of the items.

        Args:
            missing_sets_last: what a missing value of a single-valued column means. RecBole turns it into the
                index -1, which is the *last* attribute; True keeps that.

        Raises:
            AttributeColumnMissing: the column is not loaded, holds numbers, or has no value.
        """
        feature = self.item_features.get(name)
        if feature is not None and name not in self.tokens:
            raise AttributeColumnMissing(
                f"item_attribute = {name!r}: {self.item_file} says that the column holds numbers (float), and an "
                f"attribute has to be a token. Write {name}:token or {name}:token_seq in line 1."
            )
        if feature is not None and len(self.tokens[name]) == 1:
            raise AttributeColumnMissing(
                f"item_attribute = {name!r}: no item of {self.item_file} has a value of {name}, so that there is "
                "nothing to learn from it. Fill the column, or name another one in item_attribute."
            )
        if feature is None:
            loaded = [column for column in self.item_features if column in self.tokens]
            raise AttributeColumnMissing(
                f"item_attribute = {name!r}: {self.item_file} has no loaded token column of that name "
                f"(loaded: {', '.join(loaded) or 'none'}). Set item_attribute to one of the file's token "
                f"columns and list it in load_col, e.g. load_col: {{item: [{self.tokens_of_items}, {name}]}}."
            )
        num = len(self.tokens[name])
        if isinstance(feature, Ragged):
            return Attributes(feature.values, feature.offsets, num)
        values = feature.clone()
        kept = torch.ones(len(values), dtype=torch.bool)
        if missing_sets_last:
            values[values == 0] = num - 1
        else:
            kept = values > 0
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), kept.long().cumsum(0)])
        return Attributes(values[kept], offsets, num)

    @property
    def tokens_of_items(self) -> str:
        """Name of the item id column."""
        return next(iter(self.item_features), "item_id")


def load_dataset(config: Config, check: Callable[[], None] = lambda: None) -> SequentialDataset:
    """Read, filter, index, order and split the data set that ``config`` names.

    Args:
        check: called between two steps; may raise to interrupt.

    Raises:
        DataError: files are missing or malformed, or nothing usable is left; the message says what to change.
    """
    files = find_files(config)
    tables, sizes = read_tables(files, config)
    check()
    known = vocabularies(tables, config)
    check()
    if config["benchmark_filename"]:
        split = benchmark_split(tables["inter"], files.inter, sizes, known, config)
    else:
        split = split_samples(_samples(tables["inter"], known, config), config["eval_args"])
    check()
    return _assemble(config, tables, known, split, files)


def _assemble(
    config: Config,
    tables: dict[str, Table],
    known: dict[str, Vocabulary],
    split: tuple[Samples, Samples, Samples],
    files: Files,
) -> SequentialDataset:
    user, item = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
    train, valid, test = split
    if not len(train):
        raise DataError(
            f"{files.folder}: no training sample is left: every user has too few interactions. With one there is no "
            "sample, with two there is one. Loosen the filters, or give more than a share of 0 to the training."
        )
    unused = {name for names in (config["unused_col"] or {}).values() for name in names}
    features = {
        side: {
            name: value
            for name, value in features_by_id(tables.get(side), id_field, known, config).items()
            if name not in unused
        }
        for side, id_field in (("item", item), ("user", user))
    }
    return SequentialDataset(
        name=config.dataset,
        fingerprint=fingerprint(files, config),
        user_num=len(known[user].tokens),
        item_num=len(known[item].tokens),
        tokens={name: vocabulary.tokens for name, vocabulary in known.items()},
        train=train,
        valid=valid,
        test=test,
        item_features=features["item"],
        user_features=features["user"],
        item_file=files.folder / f"{config.dataset}.item",
    )


def _samples(inter: Table, known: dict[str, Vocabulary], config: Config) -> Samples:
    user, item, time = (config[key] for key in ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD"))
    return build_samples(
        known[user].encode(inter.frame[user]),
        known[item].encode(inter.frame[item]),
        complete(inter.frame[time].to_numpy(float), time, config),
        config["MAX_ITEM_LIST_LENGTH"],
    )
