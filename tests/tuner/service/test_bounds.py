"""What a request may touch, and how much it may ask for."""

from __future__ import annotations

import dataclasses
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from model.literals import parse_literal
from tuner.dashboard.context import Context
from tuner.dashboard.pages import launch
from tuner.errors import SpecificationError
from tuner.service import dependencies
from tuner.settings import Settings
from tuner.store import Database

STUDIES = "/api/v1/studies"


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The service's folder, beside one that is nobody's business."""
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "work"
    (folder / "saved").mkdir(parents=True)
    (folder / "saved" / "link").symlink_to(tmp_path)
    monkeypatch.chdir(folder)
    return folder


def post(http: TestClient, config: dict[str, Any] | None = None, **changes: Any) -> Any:
    body = {"model": "S3Rec", "dataset": "toy", "params": "hidden_dropout_prob choice [0.1, 0.2]"} | changes
    return http.post(STUDIES, json=body | {"config": config or {}})


OUTSIDE = ["/etc/{}", "../{}", "saved/../../{}", "saved/link/{}", "{}", "'saved/../../{}'", "~/{}", "\"'../{}'\""]


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("key", ["pre_model_path", "finetune.pre_model_path", "data_path", "checkpoint_dir"])
def test_paths_outside_are_refused_in_the_same_words_whether_they_are_there(
    http: TestClient, key: str, path: str
) -> None:
    words = set()
    for name in ("secret", "passwd", "nonesuch"):
        answer = post(http, {key: path.format(name)})
        assert answer.status_code == 422
        assert "TUNER_ROOTS" in answer.json()["detail"]
        words.add(answer.json()["detail"].replace(name, "NAME"))
    assert len(words) == 1


def test_searched_paths_are_refused_too(http: TestClient) -> None:
    answer = post(http, params="pre_model_path choice ['saved/a.pth', '../secret']\nhidden_dropout_prob choice [0.1]")
    assert answer.status_code == 422
    assert "TUNER_ROOTS" in answer.json()["detail"]


@pytest.mark.parametrize("dataset", ["../secret", "/etc", "toy/../toy", "..", "a\\b"])
def test_a_data_set_is_named_without_a_path(http: TestClient, dataset: str) -> None:
    assert post(http, dataset=dataset).status_code == 422


def test_parts_of_file_names_have_no_path(http: TestClient) -> None:
    answer = post(http, {"benchmark_filename": ["train", "../../secret", "test"]})
    assert answer.status_code == 422
    assert "without a path" in answer.json()["detail"]


def test_paths_inside_and_in_named_folders_are_looked_at(settings: Settings, work: Path, http: TestClient) -> None:
    answer = post(http, {"train_stage": "finetune", "pre_model_path": "saved/nonesuch.pth"})
    assert "saved/nonesuch.pth" in answer.json()["detail"]
    assert "TUNER_ROOTS" not in answer.json()["detail"]
    assert post(http, {"data_path": str(settings.data_root)}).status_code == 201
    assert post(http, {"data_path": str(work.parent)}).status_code == 422


def test_the_launch_page_is_bounded_in_the_same_way(settings: Settings, database: Database, work: Path) -> None:
    context = Context(settings, lambda: database)
    rest = {"model": "S3Rec", "dataset": "toy", "name": "study"}

    def go(trials: int | None, config: str) -> str:
        return launch._launch(
            context, "hidden_dropout_prob choice [0.1, 0.2]", None, rest | {"max_trials": trials, "config": config}
        )

    with pytest.raises(SpecificationError, match="TUNER_ROOTS"):
        go(None, "data_path: /etc")
    with pytest.raises(SpecificationError, match="100,000"):
        go(100_001, "")
    with pytest.raises(SpecificationError, match="hidden_size"):
        go(None, "hidden_size: 100000")
    named = dataclasses.replace(context, settings=settings.model_copy(update={"roots": f"/a{os.pathsep}{work}"}))
    given = rest | {"config": "pre_model_path: nonesuch.pth"}
    with pytest.raises(Exception, match="nonesuch") as error:
        launch._launch(named, "hidden_dropout_prob choice [0.1]", None, given)
    assert "TUNER_ROOTS" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "config"),
    [
        ({"max_trials": 100_001}, {}),
        ({"workers": 1_001}, {}),
        ({}, {"n_layers": 65}),
        ({}, {"pretrain.hidden_size": 10**6}),
        ({"params": "n_layers choice [1, 1000]"}, {}),
        ({"params": "hidden_size quniform 64,100000,64"}, {}),
        ({}, {"epochs": 2**63}),
        ({}, {"epochs": 10**4000}),
        ({}, {"x" * 201: 1}),
        ({}, {"note": "x" * 10_001}),
        ({}, {"topk": [1] * 20_001}),
        ({}, {"note": [[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]}),
        ({"params": None, "space": {"parameters": [[1] * 20_001]}}, {}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_more_than_a_study_needs_is_refused(http: TestClient, changes: dict[str, Any], config: dict[str, Any]) -> None:
    if config.get("epochs") == 10**4000:
        body = '{"model": "S3Rec", "dataset": "toy", "params": "n_layers choice [1]", "config": {"epochs": 1%s}}'
        headers = {"content-type": "application/json"}
        assert http.post(STUDIES, content=body % ("0" * 4000), headers=headers).status_code == 422
        return
    answer = post(http, config, **changes)
    assert answer.status_code == 422, answer.text[:300]
    assert http.get(STUDIES).json()["total"] == 0


def test_a_budget_is_bounded(http: TestClient) -> None:
    assert post(http, name="study").status_code == 201
    assert http.patch(f"{STUDIES}/study", json={"max_trials": 100_001}).status_code == 422


def test_studies_are_read_beside_the_requests_of_others(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Off the event loop: what reads them runs in another thread than the loop, for JSON and forms."""
    threads = []
    original = dependencies._assemble

    def noting(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return original(*arguments)

    monkeypatch.setattr(dependencies, "_assemble", noting)
    assert post(http).status_code == 201
    files = {"params_file": ("hyper.test", b"hidden_dropout_prob choice [0.1, 0.2]")}
    assert http.post(STUDIES, data={"model": "S3Rec", "dataset": "toy"}, files=files).status_code == 201
    assert [name.startswith("AnyIO worker") for name in threads] == [True, True]


def test_texts_are_literals_at_most_so_often() -> None:
    """The check reads texts until nothing changes; a literal is always shorter than its text."""
    text = "../x"
    for _ in range(4):
        text = repr(text)
    while (read := parse_literal(text)) != text:
        assert len(read) < len(text)
        text = read
    assert text == "../x"
