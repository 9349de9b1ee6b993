"""Pages follow the database by themselves; no worker runs, the rows are written here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from sqlalchemy import select
from waiting import wait_until

from tuner import space
from tuner.store import Database, TrialState, trial_record
from tuner.store import studies as study_rows
from tuner.store.tables import Slot, utc_now

if TYPE_CHECKING:
    from tests.browser.conftest import Service

pytestmark = pytest.mark.browser


@dataclass(frozen=True)
class Running:
    """A trial, number 0 of a study of its own, that a worker seems to run."""

    database: Database
    study: str
    slot_id: int

    @property
    def address(self) -> str:
        return f"/studies/{self.study}"


@pytest.fixture(scope="module")
def service(start_service: Callable[[int], Service]) -> Service:
    return start_service(0)


@pytest.fixture
def running(service: Service, request: pytest.FixtureRequest) -> Iterator[Running]:
    name = request.node.name.replace("_", "-")
    service.launch(name=name, params="n_layers choice [1, 2]\n", config={"pretrain_epochs": 2})
    database = Database(service.database_url)
    study = optuna.load_study(study_name=name, storage=database.storage)
    trial = study.ask(fixed_distributions=space.parse("n_layers choice [1, 2]").distributions())
    with database.transaction() as session:
        mine = Slot.study_id == study_rows.find_study(session, name).id
        slot = session.scalars(select(Slot).where(mine).order_by(Slot.ordinal)).first()
        assert slot is not None
        slot.optuna_number, slot.state, slot.started_at = trial.number, TrialState.RUNNING, utc_now()
        slot.attempt, slot.lease_expires = 1, database.now(session) + 3600
        slot_id = slot.id
    yield Running(database, name, slot_id)
    database.close()


def write_epoch(running: Running, epoch: int) -> None:
    slot_id, score = running.slot_id, 0.1 * epoch
    with running.database.transaction() as session:
        values = {
            "stage": "finetune",
            "epoch": epoch,
            "loss": 10.0 / epoch,
            "mean_loss": 1.0 / epoch,
            "valid_score": score,
        }
        trial_record.write_epoch(
            session, {"slot_id": slot_id, "seconds": 1.0, "valid_result": {"mrr@10": score}} | values
        )
        progress = {"stage": "finetune", "epoch": epoch + 1, "epochs": 300, "fraction": 0.5, "loss": 9.75}
        trial_record.write_progress(session, slot_id, progress | {"valid_score": score, "note": None})


def drag_over_the_middle(page: Any, plot: str) -> None:
    """Zoom in as people do."""
    page.locator(plot).scroll_into_view_if_needed()
    box = page.locator(plot).bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, middle, steps=8)
    page.mouse.up()


def test_a_trial_page_draws_each_new_epoch(service: Service, running: Running, page: Any) -> None:
    page.goto(f"{service.url}{running.address}/trials/0")
    page.get_by_role("heading", name="Trial 0").wait_for()
    points = "document.querySelector('#trial-finetune .js-plotly-plot')?.data?.[0]?.x?.length"
    for epoch in (1, 2, 3):
        write_epoch(running, epoch)
        wait_until(page, f"({points}) === {epoch}")
    page.get_by_text("epoch 4 of 300").wait_for()


def test_a_study_page_follows_and_keeps_the_zoom(service: Service, running: Running, page: Any) -> None:
    for epoch in (1, 2, 3, 4):
        write_epoch(running, epoch)
    page.goto(f"{service.url}{running.address}")
    page.get_by_text("epoch 5 of 300").first.wait_for()
    curve = "document.querySelector('#study-learning .js-plotly-plot')"
    wait_until(page, f"{curve}?.data?.[0]?.x?.length === 4")
    drag_over_the_middle(page, "#study-learning .nsewdrag")
    shown = f"{curve}.layout.xaxis.range"
    wait_until(page, f"1 < {shown}[0] && {shown}[0] < {shown}[1] && {shown}[1] < 4")
    zoomed = page.evaluate(shown)
    write_epoch(running, 5)
    wait_until(page, f"{curve}.data[0].x.length === 5")
    assert page.evaluate(shown) == zoomed


def test_nothing_is_sent_when_nothing_changed(service: Service, running: Running, page: Any) -> None:
    write_epoch(running, 1)
    page.goto(f"{service.url}{running.address}")
    page.get_by_text("epoch 2 of 300").first.wait_for()
    # However long it takes until all is drawn: after that every answer is small, of the page and of its table.
    small = 0
    for _ in range(60):
        with page.expect_event("response", lambda answer: "_dash-update" in answer.url) as answer:
            pass
        nothing = answer.value.status == 204  # then there is no body to ask for
        small = small + 1 if nothing or len(answer.value.body()) < 2000 else 0
        if small == 6:
            return
    pytest.fail("the page is sent again and again")


def test_pausing_and_resuming(service: Service, running: Running, page: Any) -> None:
    page.goto(f"{service.url}{running.address}")
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("paused by request").wait_for()
    assert service.state_of(running.study) == "paused"
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Pause").wait_for()
    assert service.state_of(running.study) in ("queued", "running")
