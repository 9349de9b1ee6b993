"""The configuration of a run: RecBole's keys and precedence, checked against a schema.

Sources, weakest first: the schema's defaults, what RecBole sets for a data set by name, YAML files in order, the
dictionary, the command line (``--key=value``).
"""

from __future__ import annotations

import codecs
import copy
import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.defaults import ACCEPTED, BY_DATASET, SMALLER_IS_BETTER
from model.errors import ConfigError
from model.eval_args import check_keys, merge_eval_args
from model.former_names import FORMER, todays
from model.interval import Interval
from model.literals import parse_literal, read_yaml
from model.metric_names import computed_keys
from model.parameters import Parameter, is_nothing
from model.registry import get_model, parameters_of

__all__ = ["Config", "load_config", "parse_literal"]

_SAMPLE_NUM = Parameter("train_neg_sample_args sample_num", "int", 1, "Negatives per sample.", minimum=1)
_ALPHA = Parameter("train_neg_sample_args alpha", "float", 1.0, "Exponent of the popularity.")


class Config(Mapping[str, Any]):
    """An immutable, checked configuration.

    Attributes:
        model, dataset: names.
        given: the keys that somebody set, before defaults; scoped keys (``pretrain.learning_rate``) included.
        unknown: keys that neither the schema nor RecBole knows, with the nearest known name (or None).
        notes: sentences about keys that are read as others, because RecBole calls them otherwise today.
    """

    def __init__(self, model: str, dataset: str, given: Mapping[str, Any]) -> None:
        self.model = get_model(model).name
        self.dataset = dataset
        self.given: dict[str, Any] = copy.deepcopy(dict(given))
        self._schema = parameters_of(model)
        self.unknown = self._find_unknown()
        self._values = self._resolve()

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Config({self.model!r}, {self.dataset!r}, {self.given!r})"

    def replace(self, changes: Mapping[str, Any]) -> Config:
        """The configuration with some keys set anew; everything is checked again."""
        return Config(self.model, self.dataset, {**self.given, **changes})

    def for_stage(self, stage: str, parameters: Mapping[str, Any] | None = None) -> Config:
        """The configuration that one stage of a trial trains with.

        ``parameters`` (a trial's) win over what was given, and texts among them that spell a value are that value;
        in both, ``<stage>.key`` wins over ``key``, and keys scoped to other stages are dropped.
        """
        merged: dict[str, Any] = {}
        chosen = {key: self._spelled_out(key, value) for key, value in (parameters or {}).items()}
        for source in (self.given, chosen):
            merged |= {key: value for key, value in source.items() if _scope(key) is None}
            merged |= {key.partition(".")[2]: value for key, value in source.items() if _scope(key) == stage}
        if "train_stage" in self._schema:
            merged["train_stage"] = stage
        return Config(self.model, self.dataset, merged)

    def _spelled_out(self, key: str, value: Any) -> Any:
        """The list or mapping that an option's text spells: options of a choice can't be mappings everywhere."""
        declared = self._schema.get(key.rpartition(".")[2])
        spelled = isinstance(value, str) and declared is not None and declared.kind not in ("str", "any")
        return parse_literal(value) if spelled else value

    def as_dict(self) -> dict[str, Any]:
        """All values, as JSON can hold them."""
        plain: dict[str, Any] = json.loads(json.dumps(self._values, default=str))
        return {"model": self.model, "dataset": self.dataset, **plain}

    def _find_unknown(self) -> dict[str, str | None]:
        known = set(self._schema) | ACCEPTED | FORMER
        stages = {stage.name for stage in get_model(self.model).stages}
        unknown: dict[str, str | None] = {}
        for key in self.given:
            scope = _scope(key)
            name = key.partition(".")[2] if scope in stages else key
            if name not in known:
                nearest = difflib.get_close_matches(name, sorted(known - FORMER), n=1)
                unknown[key] = nearest[0] if nearest else None
        return unknown

    def _resolve(self) -> dict[str, Any]:
        values: dict[str, Any] = {name: copy.deepcopy(p.default) for name, p in self._schema.items()}
        values |= copy.deepcopy(BY_DATASET.get(self.dataset, {}))
        plain, self.notes = todays({key: value for key, value in self.given.items() if _scope(key) is None})
        values |= plain
        for key, value in self.given.items():
            _check_nested_keys(key, value)
        self._check_scoped()
        _normalise_evaluation(values, plain)
        _normalise_sampling(values, plain, self._schema["train_neg_sample_args"].default)
        for name, parameter in self._schema.items():
            values[name] = parameter.check(values[name])
        _check_encoding(values["encoding"])
        computed_keys(values)  # raises for metrics that do not exist
        _check_clipping(values["clip_grad_norm"])
        for key in ("user_inter_num_interval", "item_inter_num_interval"):
            Interval.parse(values[key], key)
        _load_needed_columns(values, plain, self._schema, self.dataset)
        return values

    def _check_scoped(self) -> None:
        for key, value in self.given.items():
            name = key.partition(".")[2]
            if _scope(key) is not None and name in self._schema:
                if self._schema[name].measures:
                    raise ConfigError(
                        f"{key} = {value!r}: {name} decides what is measured and holds for all stages. Write {name}."
                    )
                self._schema[name].check(value)


def load_config(
    model: str | None = None,
    dataset: str | None = None,
    *,
    config_files: Iterable[str | Path] = (),
    config_dict: Mapping[str, Any] | None = None,
    command_line: Sequence[str] = (),
) -> Config:
    """Merge all sources into one configuration.

    Args:
        model, dataset: names; they win over every other source.
        config_files: YAML files, later ones win.
        config_dict: values; texts in it are read as literals.
        command_line: tokens ``--key=value``; others are ignored, as RecBole does.

    Raises:
        ConfigError: a source can't be read, model or dataset is missing, or a value does not fit the schema.
    """
    given: dict[str, Any] = {}
    for file in config_files:
        given |= read_yaml(Path(file))
    given |= {key: _literal(value) for key, value in (config_dict or {}).items()}
    given |= parse_command_line(command_line)
    names: dict[str, str] = {}
    for key, argument in (("model", model), ("dataset", dataset)):
        name = argument if argument is not None else given.pop(key, None)
        if not isinstance(name, str) or not name:
            raise ConfigError(
                f"{key} is not set. Give it as an argument, in a configuration file, in the dictionary, "
                f"or as --{key}=NAME."
            )
        names[key] = name
        given.pop(key, None)
    return Config(names["model"], names["dataset"], given)


def parse_command_line(tokens: Sequence[str]) -> dict[str, Any]:
    """The ``--key=value`` tokens as literals; anything else is left alone.

    Raises:
        ConfigError: one key has two different values.
    """
    texts: dict[str, str] = {}
    for token in tokens:
        if not token.startswith("--") or token.count("=") != 1:
            continue
        key, _, text = token.removeprefix("--").partition("=")
        if texts.setdefault(key, text) != text:
            raise ConfigError(f"--{key} is given twice, as {texts[key]!r} and {text!r}. Keep one of them.")
    return {key: parse_literal(text) for key, text in texts.items()}


def _scope(key: str) -> str | None:
    head, dot, _ = key.partition(".")
    return head if dot else None


def _literal(value: Any) -> Any:
    return parse_literal(value) if isinstance(value, str) else value


def _normalise_evaluation(values: dict[str, Any], plain: Mapping[str, Any]) -> None:
    for key, kind in (("metrics", str), ("topk", int)):
        if isinstance(values[key], kind):
            values[key] = [values[key]]
        elif isinstance(values[key], tuple):
            values[key] = list(values[key])
    topk = values["topk"]
    if not isinstance(topk, list) or any(type(k) is not int or k < 1 for k in topk) or not topk:
        raise ConfigError(f"topk = {topk!r}: topk needs a whole number of at least 1, or a list of them.")
    values["eval_args"] = merge_eval_args(plain.get("eval_args", {}))
    metric = str(values["valid_metric"]).partition("@")[0].lower()
    values["valid_metric_bigger"] = metric not in SMALLER_IS_BETTER


def _normalise_sampling(values: dict[str, Any], plain: Mapping[str, Any], default: Mapping[str, Any]) -> None:
    sampling = plain.get("train_neg_sample_args", values["train_neg_sample_args"])
    wanted = values.get("loss_type") not in (None, "CE")
    if not wanted:
        # CE ranks against all items; RecBole stops here, although its own default is what it stops at.
        values["train_neg_sample_args"] = None
        return
    if is_nothing(sampling):
        # Written for CE; the loss that is used all the same needs negatives, so it gets the default's.
        sampling = default
    if not isinstance(sampling, Mapping):
        raise ConfigError(f"train_neg_sample_args = {sampling!r}: it needs a mapping, e.g. {{sample_num: 1}}.")
    check_keys("train_neg_sample_args", sampling, default)
    merged = {**default, **sampling}
    if merged["distribution"] not in ("uniform", "popularity"):
        raise ConfigError(
            f"train_neg_sample_args distribution = {merged['distribution']!r}: use uniform or popularity."
        )
    merged["sample_num"] = _SAMPLE_NUM.check(merged["sample_num"])
    merged["alpha"] = _ALPHA.check(merged["alpha"])
    if merged["dynamic"]:
        raise ConfigError("train_neg_sample_args dynamic: dynamic negative sampling is not available; remove it.")
    values["train_neg_sample_args"] = merged


def _check_encoding(encoding: str | None) -> None:
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError:
        raise ConfigError(f"encoding = {encoding!r}: there is no such encoding. Write utf-8 or latin-1.") from None


def _check_clipping(arguments: Mapping[str, Any] | None) -> None:
    if arguments is None:
        return
    check_keys("clip_grad_norm", arguments, ("max_norm", "norm_type", "error_if_nonfinite", "foreach"))
    if not isinstance(arguments.get("max_norm"), int | float):
        raise ConfigError(f"clip_grad_norm = {arguments!r}: it needs a number, e.g. {{max_norm: 1.0}}.")


def _load_needed_columns(
    values: dict[str, Any], plain: Mapping[str, Any], schema: Mapping[str, Parameter], dataset: str
) -> None:
    """Add the columns that a sequential model can't do without to ``load_col``."""
    for key in ("load_col", "unload_col", "unused_col"):
        _check_columns(key, values[key])
    if values["unload_col"] and "load_col" not in plain:
        # Who says what to leave out wants the rest, not the default columns.
        values["load_col"] = None
    if values["load_col"] is None or values["benchmark_filename"]:
        return
    columns = dict(values["load_col"])
    user, item, time = (values[key] for key in ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD"))
    for suffix, needed in (("inter", (user, item, time)), ("item", (item,)), ("user", (user,))):
        names = columns.get(suffix)
        if names is not None and names != "*":
            columns[suffix] = [*names, *(name for name in needed if name not in names)]
    chosen = "load_col" in plain or dataset in BY_DATASET
    if "item_attribute" in schema and values["item_attribute"] and not chosen:
        # Nobody said which item columns to load, so the model's own need says it.
        columns["item"] = [item, values["item_attribute"]]
    values["load_col"] = columns


def _check_columns(key: str, columns: Mapping[str, Any] | None) -> None:
    for suffix, names in (columns or {}).items():
        if names is not None and names != "*" and not isinstance(names, list | tuple):
            raise ConfigError(f"{key}: {suffix} = {names!r}: write a list of columns, e.g. {{{suffix}: [{names}]}}.")


def _check_nested_keys(key: str, value: Any) -> None:
    """Refuse mappings that have no JSON form, such as ``{2020-10-11: x}``, where the key is a date."""
    if isinstance(value, Mapping):
        for inner, content in value.items():
            if not isinstance(inner, str):
                raise ConfigError(f"{key}: {inner!r} is a key, and keys must be texts. Put it in quotes.")
            _check_nested_keys(key, content)
    elif isinstance(value, list | tuple):
        for content in value:
            _check_nested_keys(key, content)
