"""Input 24 and its kin: names of studies, models and keys that are not what they look like are told in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("name", ["测试", "a/b", "a b", "-a", ".", "x" * 101, "a\n", "stu\u0434y"])
def test_24_the_rule_for_a_studys_name_is_told_in_words(launch: Any, name: str) -> None:
    answer = launch("learning_rate choice [0.1]\n", name=name)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert "pattern" not in detail
    for words in ("letters (a-z, A-Z), digits and . _ -", "at most 100 characters"):
        assert words in detail


def test_24_a_name_of_digits_is_refused_because_studies_have_ids(launch: Any, http: Any) -> None:
    answer = launch("learning_rate choice [0.1]\n", name="7")
    assert answer.status_code == 422
    assert "study-7" in answer.json()["detail"]
    assert http.get("/api/v1/studies").json()["total"] == 0


def test_a_model_of_recbole_that_is_not_here(launch: Any, tuner: Any) -> None:
    assert "SASRec is a model of RecBole that is not here" in launch("epochs choice [1]\n", model="SASRec").text
    Path("hyper.test").write_text("epochs choice [1]\n")
    code, said = tuner("space", "hyper.test", "--model=SASRec")
    assert code == 2
    assert "There are: S3Rec, SURGE, Popularity" in said


def test_a_key_with_a_letter_of_another_alphabet(launch: Any) -> None:
    answer = launch("epochs choice [1]\n", config={"learning_r\u0430te": 0.1})
    (warning,) = answer.json()["warnings"]
    assert "Did you mean learning_rate?" in warning
    assert "CYRILLIC SMALL LETTER A (U+0430). Write a in its place." in warning


def test_a_value_with_a_letter_of_another_alphabet(launch: Any) -> None:
    detail = launch("loss_type choice ['\u0421E']\n").json()["detail"]
    assert "CYRILLIC CAPITAL LETTER ES (U+0421). Write C in its place." in detail
