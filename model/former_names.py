"""Keys that RecBole had in earlier versions, read as what they are called today.

RecBole 1.2.1 ignores them, most without a word, and goes on with its defaults. Here what was written counts, and a note
gives today's form; what has none that means the same is refused with the form to write.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from model.errors import ConfigError

Translation = tuple[str, Any]  # today's key and value
_SETTING = re.compile(r"(RO|TO)_(RS|LS)\s*,\s*(full|labeled|(?:uni|pop)\d+)")


def todays(given: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """``given`` with former names replaced, and a note for each of them.

    Today's name wins where both are given.

    Raises:
        ConfigError: a former key has no form of today that means the same; says what to write.
    """
    values = dict(given)
    notes = []
    for name, translate in _FORMER.items():
        if name not in given:
            continue
        del values[name]
        found = translate(name, given)
        if found is None:
            continue
        key, value = found
        if key in given:
            notes.append(f"{name} is a former name of RecBole's and has no effect beside {key}.")
            continue
        values[key] = value
        notes.append(f"{name} is a former name of RecBole's and read as {key}: {_yaml(value)}.")
    return values, tuple(notes)


def _negatives(name: str, given: Mapping[str, Any]) -> Translation | None:
    number = given[name]
    if number is None:
        return None
    if type(number) is not int or number < 0:
        raise _refused(name, number, "train_neg_sample_args: {sample_num: 1}")
    return "train_neg_sample_args", {"sample_num": number} if number else None


def _distribution(name: str, given: Mapping[str, Any]) -> Translation | None:
    value = given[name]
    if value is None or str(value).lower() == "none":
        return "train_neg_sample_args", None
    if isinstance(value, Mapping) and len(value) == 1:
        distribution, number = next(iter(value.items()))
        if distribution in ("uniform", "popularity") and type(number) is int and number > 0:
            return "train_neg_sample_args", {"distribution": distribution, "sample_num": number}
    raise _refused(name, value, "train_neg_sample_args: {distribution: uniform, sample_num: 1}")


def _setting(name: str, given: Mapping[str, Any]) -> Translation | None:
    """``TO_LS,full``, with the ratios, the number and the grouping that stood in keys of their own."""
    value = given[name]
    if value is None:
        return None
    match = _SETTING.fullmatch(str(value).strip())
    if match is None or (match[2] == "LS" and given.get("leave_one_num") not in (None, 2)):
        example = "eval_args: {split: {LS: valid_and_test}, order: TO, group_by: user, mode: full}"
        beside = "" if match is None else f" with leave_one_num = {given.get('leave_one_num')!r}"
        raise _refused(name, value, example, beside)
    ratio = given.get("split_ratio")
    split = {"LS": "valid_and_test"} if match[2] == "LS" else {"RS": [0.8, 0.1, 0.1] if ratio is None else ratio}
    group = "none" if given.get("group_by_user") is False else "user"
    return "eval_args", {"split": split, "order": match[1], "group_by": group, "mode": match[3]}


def _part_of_setting(_name: str, _given: Mapping[str, Any]) -> None:
    """Read with ``eval_setting``; without it these have no effect in any version."""


def _count(name: str, given: Mapping[str, Any]) -> None:
    value = given[name]
    if value in (None, 0) or value == float("inf"):
        return
    bound, _, key = name.partition("_")
    interval = f"'[{value},inf)'" if bound == "min" else f"'[0,{value}]'"
    raise _refused(name, value, f"{key}_interval: {interval}")


def _values(name: str, given: Mapping[str, Any]) -> None:
    value = given[name]
    if not value:
        return
    column, bound = next(iter(value.items())) if isinstance(value, Mapping) else ("rating", 3)
    interval = {
        "lowest_val": f"[{bound},inf)",
        "highest_val": f"(-inf,{bound}]",
        "equal_val": f"[{bound},{bound}]",
        "not_equal_val": f"(-inf,{bound});({bound},inf)",
    }[name]
    raise _refused(name, value, f"val_interval: {{{column}: '{interval}'}}")


_FORMER: dict[str, Callable[[str, Mapping[str, Any]], Translation | None]] = {
    "training_neg_sample_num": _negatives,
    "neg_sampling": _distribution,
    "eval_setting": _setting,
    **dict.fromkeys(("split_ratio", "leave_one_num", "group_by_user"), _part_of_setting),
    **{f"{bound}_{side}_inter_num": _count for bound in ("min", "max") for side in ("user", "item")},
    **dict.fromkeys(("lowest_val", "highest_val", "equal_val", "not_equal_val"), _values),
}
FORMER = frozenset(_FORMER)


def _refused(name: str, value: object, form: str, beside: str = "") -> ConfigError:
    return ConfigError(f"{name} = {value!r}{beside}: {name} is a former name of RecBole's. Today's form is {form}.")


def _yaml(value: Any) -> str:
    """The value as one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_yaml(each)}" for key, each in value.items()) + "}"
    return "~" if value is None else str(value)
