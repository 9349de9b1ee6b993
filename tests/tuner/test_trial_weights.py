"""A trained model leaves the study: by command and by REST."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import torch
from fastapi.testclient import TestClient
from plotly.utils import PlotlyJSONEncoder

from model.checkpoint import load_checkpoint
from model.data import synthetic
from tuner import insight
from tuner.cli.app import main
from tuner.dashboard.pages import trial as trial_page
from tuner.engine.studies import creation
from tuner.engine.work.entry import run_worker
from tuner.insight.summaries import TrialDetail
from tuner.service.app import create_app
from tuner.settings import Settings
from tuner.space import SearchSpace, SpaceParameter
from tuner.specification import StudySpecification
from tuner.store import Database
from tuner.store.tables import Epoch, Event, Slot, Study

CONFIG = {
    **{"hidden_size": 8, "inner_size": 8, "n_layers": 1, "n_heads": 1, "MAX_ITEM_LIST_LENGTH": 8},
    **{"train_batch_size": 64, "pretrain_epochs": 1, "epochs": 4, "stopping_step": 0, "valid_metric": "NDCG@10"},
}
RATES = (0.003, 0.1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """An installation with a finished study of S3Rec, of two trials."""
    home = tmp_path_factory.mktemp("home")
    synthetic.write(home / "data", "toy", users=60, items=30, classes=4, events=10, seed=5)
    with pytest.MonkeyPatch.context() as changed:
        for key, value in (("TUNER_HOME", home), ("TUNER_DATA_ROOT", home / "data"), ("TUNER_WORKERS", "0")):
            changed.setenv(key, str(value))
        settings = Settings()
        database = Database(settings.database)
        database.upgrade()
        space = SearchSpace((SpaceParameter("finetune.learning_rate", "choice", RATES),)).to_json()
        specification = StudySpecification(name="walks", model="S3Rec", dataset="toy", space=space, config=CONFIG)
        creation.create(database, settings, specification)
        run_worker(settings, exit_when_idle=True)
        database.close()
        yield settings


@pytest.fixture
def trials(settings: Settings) -> tuple[TrialDetail, TrialDetail]:
    """The best trial, and the other one."""
    database = Database(settings.database)
    try:
        best = insight.get_study(database, "walks").best_trial
        assert best is not None
        return insight.get_trial(database, "walks", best), insight.get_trial(database, "walks", 1 - best)
    finally:
        database.close()


@pytest.fixture
def http(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, " ".join((captured.out + captured.err).split())


def test_the_best_trial_is_exported(
    trials: tuple[TrialDetail, TrialDetail],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    best, _ = trials
    code, said = command(capsys, "trial", "export", "walks")
    name = f"walks-trial-{best.number}.pth"
    assert (code, said) == (0, f"{name}: trial {best.number} of walks, weights of epoch {best.best_epoch}.")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    content = load_checkpoint(tmp_path / name)
    assert (content["epoch"] + 1, content["best_valid_score"]) == (best.best_epoch, best.value)
    assert content["rectuner"]["best_valid_result"] == best.valid_result
    assert content["rectuner"]["test_result"] == best.test_result


def test_an_export_overwrites_nothing_unasked(
    trials: tuple[TrialDetail, TrialDetail], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best, other = trials
    target = tmp_path / "mine.pth"
    target.write_text("precious")
    code, said = command(capsys, "trial", "export", "walks", best.number, "--output", target)
    assert code == 2
    assert "exists already. Choose another --output, or overwrite it (--force)." in said
    code, said = command(capsys, "trial", "export", "walks", other.number, "--output", target, "--force")
    assert code == 2
    assert f"Trials with weights: {best.number}. To get them again: tuner trial retrain walks {other.number}" in said
    assert target.read_text() == "precious"
    assert command(capsys, "trial", "export", "walks", best.number, "-o", target, "--force")[0] == 0
    assert load_checkpoint(target)["epoch"] + 1 == best.best_epoch


def test_the_weights_are_downloaded(http: TestClient, trials: tuple[TrialDetail, TrialDetail]) -> None:
    best, other = trials
    answer = http.get(f"/api/v1/studies/walks/trials/{best.number}/checkpoint")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="walks-trial-{best.number}.pth"'
    assert int(answer.headers["content-length"]) == len(answer.content)
    content = torch.load(io.BytesIO(answer.content), weights_only=True)
    assert content["rectuner"]["test_result"] == best.test_result
    gone = http.get(f"/api/v1/studies/walks/trials/{other.number}/checkpoint")
    assert gone.status_code == 404
    assert f"tuner trial retrain walks {other.number}" in gone.json()["detail"]
    assert http.get("/api/v1/studies/walks/trials/9/checkpoint").status_code == 404


@pytest.fixture
def rows_of_the_study(settings: Settings) -> Iterator[Callable[[], list[object]]]:
    """Everything that the database says of the study and its trials."""
    database = Database(settings.database)

    def read() -> list[object]:
        tables = (Study.__table__, Slot.__table__, Epoch.__table__, Event.__table__)
        with database.session() as session:
            ours = [session.execute(sa.select(table)).all() for table in tables]
            theirs = [
                session.execute(sa.text(f"SELECT * FROM {table} ORDER BY 1")).all()
                for table in ("trials", "trial_values", "trial_params", "trial_user_attributes")
            ]
        return [*ours, *theirs]

    yield read
    database.close()


@pytest.mark.parametrize("cached", [True, False])
def test_a_trial_is_trained_again_to_the_same_bits_and_its_study_does_not_change(
    settings: Settings,
    trials: tuple[TrialDetail, TrialDetail],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows_of_the_study: Callable[[], list[object]],
    cached: bool,
) -> None:
    if not cached:
        assert command(capsys, "cache", "prune", "--yes")[0] == 0
        assert list(settings.artifacts.glob("stages/*/*.pth")) == []
    before = rows_of_the_study()
    for trial in trials:
        target = tmp_path / f"{trial.number}.pth"
        code, said = command(capsys, "trial", "retrain", "walks", trial.number, "--output", target)
        assert code == 0, said
        assert f"trial {trial.number}, weights of epoch {trial.best_epoch}." in said
        content = load_checkpoint(target)
        assert (content["epoch"] + 1, content["best_valid_score"]) == (trial.best_epoch, trial.value)
        assert content["rectuner"]["best_valid_result"] == trial.valid_result
        assert content["rectuner"]["test_result"] == trial.test_result
    assert rows_of_the_study() == before
    # The best one's are there to compare with, to the last bit.
    best = trials[0].number
    assert command(capsys, "trial", "export", "walks", "--output", tmp_path / "kept.pth")[0] == 0
    kept, again = (load_checkpoint(tmp_path / name)["state_dict"] for name in ("kept.pth", f"{best}.pth"))
    assert all(torch.equal(kept[name], again[name]) for name in kept)


def test_what_did_not_end_with_a_value_is_not_trained_again(
    trials: tuple[TrialDetail, TrialDetail], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = command(capsys, "trial", "retrain", "walks", 9, "--output", tmp_path / "a.pth")
    assert (code, "walks has no trial 9" in said) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_is_shown(
    http: TestClient, trials: tuple[TrialDetail, TrialDetail], capsys: pytest.CaptureFixture[str]
) -> None:
    best, other = trials
    assert other.weights_bytes is None
    weights = http.get("/api/v1/studies/walks").json()["weights"]
    assert weights == {"keep": "best", "trials": 1, "size": best.weights_bytes}
    assert "Weights kept of the best trial: 1 trial, " in command(capsys, "study", "show", "walks")[1]


def test_a_trials_page_has_its_weights_or_says_how_to_get_them(
    http: TestClient, settings: Settings, trials: tuple[TrialDetail, TrialDetail]
) -> None:
    best, other = trials
    database = Database(settings.database)
    study = insight.get_study(database, "walks")
    database.close()
    shown, missing = (json.dumps(trial_page._metrics(study, trial), cls=PlotlyJSONEncoder) for trial in trials)
    address = f"/api/v1/studies/walks/trials/{best.number}/checkpoint"
    assert f'"href": "{address}"' in shown
    assert http.get(address).status_code == 200
    assert f"tuner trial retrain walks {other.number}" in missing
    assert "checkpoint" not in missing
