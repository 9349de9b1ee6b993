"""Values that no table, file or number can hold are answered with 4xx and a sentence, never with 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

STUDIES = "/api/v1/studies"
BODY = {"model": "S3Rec", "dataset": "toy", "params": "learning_rate choice [0.1]\n"}
JSON = {"content-type": "application/json"}
HUGE = "9223372036854775808"


def refused(answer: Any) -> None:
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("changes", "literal"),
    [
        ({"workers": "@"}, HUGE),
        ({"max_trials": "@"}, HUGE),
        ({"seed": "@"}, HUGE),
        ({"timeout_seconds": "@"}, "1e400"),
        ({"target_value": "@"}, "NaN"),
        ({"config": {"seed": "@"}}, "9" * 400),
        ({"config": {"loss_decimal_place": "@"}}, "9" * 400),
        ({"config": {"MAX_ITEM_LIST_LENGTH": "@"}}, HUGE),
        ({"config": {"learning_rate": "@"}, "params": "epochs choice [1]"}, "9" * 400),
        ({"config": {"data_path": "@"}}, '"a\\u0000b"'),
        ({"config": {"encoding": "@"}}, '"nonsense"'),
        ({"config": {"load_col": "@"}}, '{"inter": ["a\\u0000"]}'),
        ({"params": "@"}, f'"hidden_size choice [{"9" * 400}]"'),
        ({"params": "@"}, f'"pretrain_epochs choice [{HUGE}]"'),
        ({"params": "@"}, '"learning_rate loguniform -1000,0"'),
        ({"params": "@"}, "\"pre_model_path choice ['a\\\\x00b']\""),
        ({"params": "@"}, '"learning_rate choice [' + "1+" * 20_000 + '1]"'),
        ({"name": "@"}, '["s"]'),
    ],
)
def test_a_study_with_a_hostile_value_is_refused(http: TestClient, changes: dict[str, Any], literal: str) -> None:
    refused(http.post(STUDIES, content=json.dumps(BODY | changes).replace('"@"', literal), headers=JSON))


@pytest.mark.parametrize(
    "path",
    [
        f"{STUDIES}?offset={HUGE}",
        f"/api/v1/stages?offset={HUGE}",
        f"{STUDIES}/s/trials?offset={HUGE}",
        f"{STUDIES}/s/stages?offset={HUGE}",
        f"{STUDIES}/s/trials/{HUGE}",
        f"{STUDIES}/s/trials/{HUGE}/checkpoint",
        f"{STUDIES}/{HUGE}",
        f"{STUDIES}/a%00b",
        f"/api/v1/{HUGE}",
        "/_dash-component-suites/nothing",
        "/_dash-component-suites/dash/nothing.js",
        "/_dash-component-suites/no_package/%00",
    ],
)
def test_a_hostile_address_is_refused(http: TestClient, path: str) -> None:
    refused(http.get(path))
