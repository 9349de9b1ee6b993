"""Values that no table, file or number can hold are answered with 4xx and a sentence, never with 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tuner.settings import Settings

STUDIES = "/api/v1/studies"
BODY = {"model": "S3Rec", "dataset": "toy", "params": "learning_rate choice [0.1]\n"}
JSON = {"content-type": "application/json"}
HUGE = "9223372036854775808"


@pytest.fixture
def settings(settings: Settings, database_url: str) -> Settings:
    """An installation on either kind of database."""
    return settings.model_copy(update={"database_url": database_url})


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


BEYOND_32_BITS = 2**31


@pytest.mark.parametrize(
    ("changes", "literal"),
    [
        ({"workers": BEYOND_32_BITS}, ""),
        ({"max_trials": BEYOND_32_BITS}, ""),
        ({"seed": BEYOND_32_BITS}, ""),
        ({"timeout_seconds": BEYOND_32_BITS}, ""),
        ({"max_failures": BEYOND_32_BITS}, ""),
        ({"early_stop": BEYOND_32_BITS}, ""),
        ({"keep": BEYOND_32_BITS}, ""),
        ({"name": "s" * 101}, ""),
        ({"name": "@"}, '"a\\u0000b"'),
        ({"name": "@"}, '"a\\ud800b"'),
        ({"config": {"note": "@"}}, '"a\\u0000b"'),
        ({"config": {"note": "@"}}, '"a\\ud800b"'),
        ({"config": {"note": "@"}}, "NaN"),
        ({"config": {"valid_metric": "NDCG@" + "1" * 70}}, ""),
        ({"dataset": "d" * 300}, ""),
        ({"warm_start": "@"}, '"a\\u0000b"'),
    ],
)
def test_what_one_kind_of_database_can_not_hold_is_answered_all_the_same(
    http: TestClient, changes: dict[str, Any], literal: str
) -> None:
    """PostgreSQL's whole numbers have 32 bits, its texts a length and no NUL."""
    body = json.dumps({"name": "s"} | BODY | changes).replace('"@"', literal)
    answer = http.post(STUDIES, content=body, headers=JSON)
    assert answer.status_code < 500, answer.text
    assert http.get(STUDIES).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        f"{STUDIES}?offset={BEYOND_32_BITS}",
        f"{STUDIES}/{BEYOND_32_BITS}",
        f"{STUDIES}/s/trials/{BEYOND_32_BITS}",
        f"{STUDIES}/s/trials/{BEYOND_32_BITS}/checkpoint",
        f"{STUDIES}/s/trials?offset={BEYOND_32_BITS}",
        f"{STUDIES}/s/events?after={BEYOND_32_BITS}",
        f"{STUDIES}/s/events?trial={BEYOND_32_BITS}",
        f"/api/v1/events?after={BEYOND_32_BITS}",
        f"{STUDIES}/s/events?kind=a%00b",
        f"{STUDIES}/s/trials?order=a%00b",
        f"{STUDIES}/s/trials?state=a%00b",
    ],
)
def test_an_address_of_a_study_that_is_there(http: TestClient, path: str) -> None:
    assert http.post(STUDIES, json=BODY | {"name": "s"}).status_code == 201
    assert http.get(path).status_code < 500
