"""Configuration files that are small and mean a lot."""

from __future__ import annotations

import pytest
import yaml

from model.errors import ConfigError
from model.literals import parse_yaml

# Each level refers to the one before nine times.
ALIASES = "a0: &a0 [1, 1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n  k{n}: 1\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "content",
    [ALIASES, MERGES, "a: &a [*a]", "a: &a\n  <<: *a", "a: " + "[" * 60 + "]" * 60, "a: {b: &x {<<: *x}}"],
    ids=["aliases", "merge keys", "itself", "merged with itself", "deep", "inner"],
)
def test_what_unfolds_is_refused_before_anything_is_built(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object) -> None:
        raise AssertionError("built")

    monkeypatch.setattr(yaml.constructor.SafeConstructor, "construct_document", build)
    assert len(content) < 1_000
    with pytest.raises(ConfigError, match=r"config\.yaml: unfolds"):
        parse_yaml(content.encode(), "config.yaml")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a: '" + b"x" * 64_000 + b"'", "64,000"),
        (b"a: 1" + b"0" * 5_000, "not valid YAML"),
        (b"a: 0x" + b"f" * 5_000, "not valid YAML"),
        (b"a: 1" + b":10" * 5_000, "not valid YAML"),
    ],
    ids=["long", "decimal", "hexadecimal", "sexagesimal"],
)
def test_large_files_and_integers_are_refused(content: bytes, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_yaml(content, "config.yaml")


def test_aliases_and_merge_keys_of_usual_size_are_read() -> None:
    content = b"base: &b {epochs: 3, topk: &k [5, 10]}\nother: {<<: *b, epochs: 4}\ntopk: *k\nseed: 0x10\n"
    assert parse_yaml(content, "config.yaml") == {
        "base": {"epochs": 3, "topk": [5, 10]},
        "other": {"epochs": 4, "topk": [5, 10]},
        "topk": [5, 10],
        "seed": 16,
    }
