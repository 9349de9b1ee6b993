"""``eval_args``: how samples are split and what an evaluation ranks, checked before any data is read."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from model.defaults import SEQUENTIAL_EVAL_ARGS
from model.errors import ConfigError

LEAVE_ONE_OUT = ("valid_and_test", "valid_only", "test_only")
GROUPS = (None, "none", "user")


def merge_eval_args(given: Any) -> dict[str, Any]:
    """The evaluation that ``given`` asks for, with the sequential defaults for what it leaves out.

    Raises:
        ConfigError: a key or value is none of those known.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"eval_args = {given!r}: eval_args needs a mapping, e.g. {{mode: full}}.")
    check_keys("eval_args", given, SEQUENTIAL_EVAL_ARGS)
    # A partial eval_args means "the rest as for sequential models", not RecBole's random split.
    merged = {**copy.deepcopy(SEQUENTIAL_EVAL_ARGS), **given}
    merged["mode"] = _modes(merged["mode"])
    kind, _ = check_split(merged["split"])
    if merged["order"] != "TO":
        raise ConfigError(f"eval_args order = {merged['order']!r}: sequential models need order: TO.")
    if isinstance(merged["group_by"], str) and merged["group_by"].lower() == "none":
        merged["group_by"] = "none"  # YAML reads None as a text, and RecBole compares it so
    if merged["group_by"] not in GROUPS:
        raise ConfigError(f"eval_args group_by = {merged['group_by']!r}: use user or none.")
    if kind != "RS":
        merged["group_by"] = "user"  # as in RecBole, whose other splits take each user by himself
    return merged


def check_split(split: Any) -> tuple[str, Any]:
    """Kind and argument of a split: LS with a text, RS and TS with three shares that sum to 1.

    Raises:
        ConfigError: it is none of these.
    """
    if not isinstance(split, Mapping) or len(split) != 1:
        raise ConfigError(f"eval_args split = {split!r}: write one of {{LS: valid_and_test}}, {{RS: [8, 1, 1]}}.")
    kind, argument = next(iter(split.items()))
    match kind:
        case "LS":
            if argument not in LEAVE_ONE_OUT:
                raise ConfigError(f"eval_args split LS = {argument!r}: use {', '.join(LEAVE_ONE_OUT)}.")
            return kind, argument
        case "RS" | "TS":
            return kind, _shares(argument)
    raise ConfigError(f"eval_args split = {split!r}: use LS, RS or TS.")


def check_keys(name: str, given: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse keys of a nested setting that nobody reads; a default would take their place unnoticed.

    Raises:
        ConfigError: with the nearest known key.
    """
    for key in given:
        if key not in known:
            nearest = difflib.get_close_matches(str(key), list(known), n=1)
            hint = f"Did you mean {nearest[0]}?" if nearest else f"There are: {', '.join(known)}."
            raise ConfigError(f"{name}: there is no key {key!r}. {hint}")


def _modes(mode: Any) -> dict[str, str]:
    if isinstance(mode, str):
        mode = {"valid": mode, "test": mode}
    if not isinstance(mode, Mapping) or not mode or not set(mode) <= {"valid", "test"}:
        raise ConfigError(f"eval_args mode = {mode!r}: write e.g. full, or {{valid: uni100, test: full}}.")
    only = next(iter(mode.values()))
    modes = {"valid": mode.get("valid", only), "test": mode.get("test", only)}
    for value in modes.values():
        sampled = isinstance(value, str) and value[:3] in ("uni", "pop") and value[3:].isdecimal()
        if value != "full" and not (sampled and int(value[3:]) > 0):
            raise ConfigError(f"eval_args mode = {value!r}: use full, uniN or popN with a number N.")
    return modes


def _shares(argument: Any) -> list[float]:
    numbers = isinstance(argument, Sequence) and len(argument) == 3
    if not numbers or any(not isinstance(r, int | float) or not r >= 0 for r in argument) or sum(argument) <= 0:
        raise ConfigError(f"eval_args split = {argument!r}: needs three shares, e.g. [0.8, 0.1, 0.1].")
    return [share / sum(argument) for share in argument]
