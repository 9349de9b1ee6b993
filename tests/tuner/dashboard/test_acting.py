"""Nothing is created, changed or deleted without a click that was counted."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from callbacks_over_http import Dashboard
from dash import Dash, Input, Output

from tuner import space
from tuner.dashboard.acting import acting
from tuner.store import Database, TrialState
from tuner.store.tables import Slot, utc_now

SPACE = "learning_rate choice [0.1, 0.2]\n"
STUDY_PAGES = [f"/studies/{name}{rest}" for name in ("one", "two") for rest in ("", "/trials/0")]
PAGES = ("/", "/launch", *STUDY_PAGES, "/studies/nonesuch", "/nonesuch")


def everything(database: Database) -> dict[str, list[Any]]:
    """All rows of all tables."""
    tables = sa.MetaData()
    tables.reflect(database.engine)
    with database.session() as session:
        return {name: session.execute(sa.select(table)).all() for name, table in tables.tables.items()}


@pytest.fixture
def filled(dashboard: Dashboard) -> Dashboard:
    """With two studies whose trial 0 seems to run; the second one's model can draw pictures."""
    for name, model in (("one", "S3Rec"), ("two", "SURGE")):
        dashboard.launch(name, model=model, params=SPACE)
        study = optuna.load_study(study_name=name, storage=dashboard.database.storage)
        trial = study.ask(fixed_distributions=space.parse(SPACE).distributions())
        with dashboard.database.transaction() as session:
            slot = session.scalars(sa.select(Slot).where(Slot.optuna_number.is_(None)).order_by(Slot.id.desc())).first()
            assert slot is not None
            slot.optuna_number, slot.state, slot.started_at = trial.number, TrialState.RUNNING, utc_now()
            slot.attempt, slot.lease_expires = 1, dashboard.database.now(session) + 3600
    return dashboard


@pytest.mark.parametrize("clicks", [None, 0], ids=["no clicks yet", "zero clicks"])
def test_a_page_that_is_inserted_changes_nothing(
    filled: Dashboard, clicks: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every callback of every page is called as Dash does on insertion, whatever prevent_initial_call says."""
    monkeypatch.setattr(filled, "clicks", clicks)
    before = everything(filled.database)
    called = {output for path in PAGES for output, answer in filled.inserted(path) if answer.status_code in (200, 204)}
    assert called == {callback["output"] for callback in filled.callbacks()}
    assert everything(filled.database) == before


def test_a_click_on_launch_creates_one_study(dashboard: Dashboard) -> None:
    answer = dashboard.click("/launch", "launch-message.children", "launch-go.n_clicks", launch_name="by-hand")
    assert answer.json()["response"]["location"]["pathname"] == "/studies/by-hand"
    assert [study["name"] for study in dashboard.http.get("/api/v1/studies").json()["items"]] == ["by-hand"]


@pytest.mark.parametrize(
    ("clicked", "state"), [("study-pause.n_clicks", "paused"), ("study-cancel-sure.submit_n_clicks", "cancelled")]
)
def test_a_click_on_a_studys_button_acts(dashboard: Dashboard, clicked: str, state: str) -> None:
    dashboard.launch("one")
    assert dashboard.click("/studies/one", "study-message.children", clicked).status_code == 200
    assert dashboard.http.get("/api/v1/studies/one").json()["state"] == state


def test_two_buttons_at_once_are_no_telling_which(dashboard: Dashboard) -> None:
    dashboard.launch("one")
    dashboard.clicks = 1
    answers = dict(dashboard.inserted("/studies/one"))
    assert answers["study-message.children"].status_code == 204
    assert dashboard.http.get("/api/v1/studies/one").json()["state"] == "queued"


def test_only_what_counts_clicks_may_start_an_act() -> None:
    with pytest.raises(ValueError, match="counts no clicks"):
        acting(Dash(), Output("message", "children"), [Input("model", "value")])
