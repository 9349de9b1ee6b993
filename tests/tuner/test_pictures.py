"""From a finished study to a picture: the command, and what a trial's page shows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import plotly.graph_objects as go
import pytest

from model.data import synthetic
from model.errors import DataError
from tuner.cli.app import main
from tuner.dashboard.context import Context
from tuner.dashboard.pages import trial_pictures
from tuner.engine.files.weights import trial_weights
from tuner.engine.studies import creation
from tuner.engine.work.entry import run_worker
from tuner.errors import WeightsNotKept
from tuner.insight import get_study, pictures
from tuner.settings import Settings
from tuner.space import SearchSpace, SpaceParameter
from tuner.specification import StudySpecification
from tuner.store import Database

CONFIG = {
    "embedding_size": 8,
    "pool_length": 4,
    "MAX_ITEM_LIST_LENGTH": 12,
    "att_fcn_layer_sizes": [8, 4],
    "layer_sizes": [8],
    "train_batch_size": 256,
    "epochs": 2,
    "valid_metric": "NDCG@10",
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """An installation with a finished study of SURGE, of two trials."""
    home = tmp_path_factory.mktemp("home")
    synthetic.write(home / "data", "toy", users=40, items=24, classes=4, events=10, seed=5)
    changed = {"TUNER_HOME": str(home), "TUNER_DATA_ROOT": str(home / "data"), "TUNER_WORKERS": "1"}
    before = {key: os.environ.get(key) for key in changed}
    os.environ.update(changed)
    settings = Settings()
    database = Database(settings.database)
    database.upgrade()
    space = SearchSpace((SpaceParameter("surge_variant", "choice", ("released", "paper")),)).to_json()
    creation.create(
        database,
        settings,
        StudySpecification(name="graphs", model="SURGE", dataset="toy", space=space, config=CONFIG),
    )
    run_worker(settings, exit_when_idle=True)
    database.close()
    yield settings
    for key, value in before.items():
        if value is None:
            del os.environ[key]
        else:
            os.environ[key] = value


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database)
    yield database
    database.close()


@pytest.fixture
def best(database: Database) -> int:
    found = get_study(database, "graphs").best_trial
    assert found is not None
    return found


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    try:
        main([str(argument) for argument in arguments])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_the_command_draws_the_best_trial(
    settings: Settings, best: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "graph.html"
    code, said = command(capsys, "trial", "picture", "graphs", best, "--user", "u3", "--output", page)
    assert (code, said) == (0, f"{page}\n")
    text = page.read_text(encoding="utf-8")
    assert "Interest graph of user u3" in text
    assert 'src="http' not in text


def test_what_cannot_be_drawn_is_explained_and_nothing_is_written(
    settings: Settings, best: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "graph.html"
    for arguments, reason in [
        ((best, "--user", "nobody"), "has no such user with enough interactions; try e.g."),
        ((best, "--picture", "map"), "There are: interest-graph"),
        ((best, "--label", "color"), "there are: item_id, class"),
        ((1 - best,), f"keeps only the best one's (keep: best). Trials with weights: {best}."),
        ((7,), "graphs has no trial 7."),
    ]:
        code, said = command(capsys, "trial", "picture", "graphs", *arguments, "--output", page)
        assert code == 2
        assert reason in " ".join(said.split())
    assert list(tmp_path.iterdir()) == []


def test_a_models_pictures_and_its_users_are_offered(settings: Settings, database: Database, best: int) -> None:
    assert [offered.name for offered in pictures.pictures_of("SURGE")] == ["interest-graph"]
    assert pictures.pictures_of("S3Rec") == pictures.pictures_of("not installed") == ()
    weights = trial_weights(database, settings.artifacts, "graphs", best)
    assert len(pictures.users_of(weights)) == 40
    with pytest.raises(DataError, match="no such user"):
        pictures.picture(weights, "interest-graph", "nobody")


def test_a_picture_is_drawn_once_and_colored_for_each_scheme(
    settings: Settings, database: Database, best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = trial_weights(database, settings.artifacts, "graphs", best)
    light = pictures.picture(weights, "interest-graph", "u5")
    monkeypatch.setattr(pictures, "restore", lambda _path: pytest.fail("the checkpoint is read again"))
    dark = pictures.picture(weights, "interest-graph", "u5", "dark")
    assert json.loads(light.to_json())["data"] == json.loads(dark.to_json())["data"]
    assert light.layout.template != dark.layout.template


def test_the_page_of_the_best_trial_shows_the_picture_and_others_say_why_not(
    settings: Settings, database: Database, best: int
) -> None:
    context = Context(settings, lambda: database)
    key = {"name": "graphs", "number": best}
    figure, _, users, shown, note = trial_pictures._draw(context, "interest-graph", None, "light", key)
    assert isinstance(figure, go.Figure)
    assert len(users) == 40
    assert shown == f"User {users[0]}"
    assert note is None
    other = trial_pictures._draw(context, "interest-graph", None, "light", {**key, "number": 1 - best})
    assert "the study keeps only the best one's" in other[-1]
    assert len(json.dumps(figure.to_json())) < 1_000_000


def test_only_models_with_pictures_have_cards() -> None:
    assert len(trial_pictures.cards("SURGE")) == 1
    assert trial_pictures.cards("S3Rec") == []


def test_weights_of_trials_that_are_not_the_best_are_not_kept(
    settings: Settings, database: Database, best: int
) -> None:
    assert trial_weights(database, settings.artifacts, "graphs", best).is_file()
    with pytest.raises(WeightsNotKept, match=f"Trials with weights: {best}"):
        trial_weights(database, settings.artifacts, "graphs", 1 - best)
