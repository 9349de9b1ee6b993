"""RecBole's result file, to the byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tuner.insight.export import result_text

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "hpo.json").read_text())


def test_the_result_file_is_recboles_to_the_byte() -> None:
    wanted = GOLDEN["result_file"]
    # What the peer's objective returned for its trial number n.
    results = [
        (params, {"recall@10": n / 10, "mrr@10": 0.1}, {"recall@10": n / 20})
        for n, params in enumerate(wanted["trials"], start=1)
    ]
    assert result_text(results) == wanted["text"]


def test_a_repeated_parameter_set_overwrites_its_results_and_keeps_its_place() -> None:
    rows = [({"a": 1}, {"m": 1.0}, {"m": 2.0}), ({"a": 2}, {"m": 3.0}, {"m": 4.0}), ({"a": 1}, {"m": 5.0}, {"m": 6.0})]
    text = result_text(rows)
    assert text.index("a:1") < text.index("a:2")
    assert text.count("a:1") == 1
    assert "m : 5.0" in text


def test_a_real_run_of_the_peer_reads_the_same() -> None:
    text: str = GOLDEN["result_file_real_run"]["text"]
    results = []
    for block in text.strip().split("\n\n"):
        head, _, valid, _, test = block.split("\n")
        params = dict(part.split(":") for part in head.split(", "))
        metrics = [dict(pair.split(" : ") for pair in line.split("    ")) for line in (valid, test)]
        results.append((params, *metrics))
    assert result_text(results) == text
