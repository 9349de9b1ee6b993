"""What is taken away from a study over REST; what is in it, tests/tuner/insight says."""

from __future__ import annotations

import json

import optuna
import pytest
import yaml
from fastapi import FastAPI
from fastapi.testclient import TestClient
from optuna.trial import TrialState as OptunaState
from sqlalchemy import update

from tuner.insight.export import FORMATS
from tuner.insight.figures import FIGURES
from tuner.store import Database, TrialState
from tuner.store.tables import Slot

STUDY = {
    "name": "study",
    "model": "S3Rec",
    "dataset": "toy",
    "params": "finetune.learning_rate choice [0.5, 0.25]\n",
    "config": {"pretrain_epochs": 1, "topk": [10]},
}
AT = "/api/v1/studies/study"


@pytest.fixture
def http_with_study(http: TestClient) -> TestClient:
    assert http.post("/api/v1/studies", json=STUDY).status_code == 201
    return http


@pytest.fixture
def http_with_trial(http_with_study: TestClient) -> TestClient:
    """One of the study's two trials has completed, the one with a learning rate of 0.25."""
    assert isinstance(http_with_study.app, FastAPI)
    database: Database = http_with_study.app.state.database
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name="study", storage=database.storage)
    categories = optuna.distributions.CategoricalDistribution([0.5, 0.25])
    ended = optuna.trial.create_trial(
        state=OptunaState.COMPLETE,
        value=0.5,
        params={"finetune.learning_rate": 0.25},
        distributions={"finetune.learning_rate": categories},
        user_attrs={"valid_result": {"ndcg@10": 0.5}, "test_result": {"ndcg@10": 0.4}},
    )
    study.add_trial(ended)
    with database.transaction() as session:
        session.execute(
            update(Slot).where(Slot.ordinal == 1).values(state=TrialState.COMPLETED, optuna_number=0, attempt=1)
        )
    return http_with_study


@pytest.mark.parametrize("path", ["best", "trials/0/configuration"])
def test_a_configuration_in_every_form(path: str, http_with_trial: TestClient) -> None:
    answers = {form: http_with_trial.get(f"{AT}/{path}", params={"format": form}) for form in FORMS}
    assert {form: answer.headers["content-type"].partition(";")[0] for form, answer in answers.items()} == FORMS
    assert answers["json"].json()["config"]["finetune.learning_rate"] == 0.25
    assert answers["json"].json() == http_with_trial.get(f"{AT}/{path}").json()
    _pretrain, finetune = yaml.safe_load_all(answers["recbole"].text)
    assert finetune["learning_rate"] == 0.25
    assert "--finetune.learning_rate=0.25" in answers["flags"].text.split()


FORMS = {
    "json": "application/json",
    "yaml": "application/yaml",
    "recbole": "application/yaml",
    "flags": "text/plain",
    "python": "text/plain",
}


@pytest.mark.parametrize("form", FORMATS)
def test_the_trials_as_a_file(form: str, http_with_trial: TestClient) -> None:
    answer = http_with_trial.get(f"{AT}/export", params={"format": form})
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == FORMATS[form].media_type
    assert answer.headers["content-disposition"] == f'attachment; filename="study{FORMATS[form].suffix}"'
    if form == "recbole":
        assert answer.text.startswith("finetune.learning_rate:0.25\nValid result:\nndcg@10 : 0.5\n")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", FIGURES)
def test_every_figure_of_the_dashboard(kind: str, theme: str, http_with_trial: TestClient) -> None:
    answer = http_with_trial.get(f"{AT}/plots/{kind}", params={"theme": theme})
    assert answer.status_code == 200
    assert set(json.loads(answer.text)) >= {"data", "layout"}
    assert len(answer.content) < 500_000


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("best", 404, "No trial of study has completed"),
        ("trials/7/configuration", 404, "study has no trial 7"),
        ("best?format=toml", 422, "'json', 'yaml', 'recbole', 'flags' or 'python'"),
        ("export?format=xls", 422, "'csv', 'ndjson', 'parquet' or 'recbole'"),
        ("plots/pie", 422, "'optimization_history'"),
        ("plots/stage_tree?theme=pink", 422, "'light' or 'dark'"),
        ("trials/9223372036854775808/configuration", 422, "number"),
    ],
)
def test_what_is_not_there_is_said(path: str, status: int, said: str, http_with_study: TestClient) -> None:
    answer = http_with_study.get(f"{AT}/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert said in answer.json()["detail"]


def test_a_study_that_does_not_exist_has_nothing(http: TestClient) -> None:
    for path in ("best", "export", "plots/stage_tree"):
        assert http.get(f"{AT}/{path}").status_code == 404
