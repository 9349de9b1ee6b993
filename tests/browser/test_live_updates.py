"""Pages follow the database by themselves; no worker runs, the rows are written here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import optuna
import pytest
from sqlalchemy import select
from waiting import wait_until

from tuner import space
from tuner.store import Database, TrialState
from tuner.store import repository as rows
from tuner.store.tables import Slot, utc_now

if TYPE_CHECKING:
    from tests.browser.conftest import Service

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def service(start_service: Callable[[int], Service]) -> Service:
    service = start_service(0)
    service.launch(name="slow", params="n_layers choice [1, 2]\n", config={"pretrain_epochs": 2})
    return service


@pytest.fixture(scope="module")
def running_trial(service: Service) -> Iterator[tuple[Database, int]]:
    """(database, slot id) of a trial that a worker seems to run."""
    database = Database(service.database_url)
    study = optuna.load_study(study_name="slow", storage=database.storage)
    trial = study.ask(fixed_distributions=space.parse("n_layers choice [1, 2]").distributions())
    with database.transaction() as session:
        slot = session.scalars(select(Slot).order_by(Slot.ordinal)).first()
        assert slot is not None
        slot.optuna_number, slot.state, slot.started_at = trial.number, TrialState.RUNNING, utc_now()
        slot.attempt, slot.lease_expires = 1, database.now(session) + 3600
        slot_id = slot.id
    yield database, slot_id
    database.close()


def write_epoch(database: Database, slot_id: int, epoch: int, score: float) -> None:
    with database.transaction() as session:
        values = {
            "stage": "finetune",
            "epoch": epoch,
            "loss": 10.0 / epoch,
            "mean_loss": 1.0 / epoch,
            "valid_score": score,
        }
        rows.write_epoch(session, {"slot_id": slot_id, "seconds": 1.0, "valid_result": {"mrr@10": score}} | values)
        progress = {"stage": "finetune", "epoch": epoch + 1, "epochs": 300, "fraction": 0.5, "loss": 9.75}
        rows.write_progress(session, slot_id, progress | {"valid_score": score, "note": None})


def drag_over_the_middle(page: Any, plot: str) -> None:
    """Zoom in as people do."""
    page.locator(plot).scroll_into_view_if_needed()
    box = page.locator(plot).bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, middle, steps=8)
    page.mouse.up()
    page.wait_for_timeout(500)


def test_a_trial_page_draws_each_new_epoch(service: Service, running_trial: tuple[Database, int], page: Any) -> None:
    page.goto(f"{service.url}/studies/slow/trials/0")
    page.get_by_role("heading", name="Trial 0").wait_for()
    points = "document.querySelector('#trial-finetune .js-plotly-plot')?.data?.[0]?.x?.length"
    for epoch in (1, 2, 3):
        write_epoch(*running_trial, epoch, 0.1 * epoch)
        wait_until(page, f"({points}) === {epoch}")
    page.get_by_text("epoch 4 of 300").wait_for()


def test_a_study_page_follows_and_keeps_the_zoom(
    service: Service, running_trial: tuple[Database, int], page: Any
) -> None:
    write_epoch(*running_trial, 4, 0.4)
    page.goto(f"{service.url}/studies/slow")
    page.get_by_text("epoch 5 of 300").first.wait_for()
    curve = "document.querySelector('#study-learning .js-plotly-plot')"
    wait_until(page, f"{curve}?.data?.[0]?.x?.length === 4")
    drag_over_the_middle(page, "#study-learning .nsewdrag")
    zoomed = page.evaluate(f"{curve}.layout.xaxis.range")
    assert 1 < zoomed[0] < zoomed[1] < 4
    write_epoch(*running_trial, 5, 0.5)
    wait_until(page, f"{curve}.data[0].x.length === 5")
    assert page.evaluate(f"{curve}.layout.xaxis.range") == zoomed


def test_nothing_is_sent_when_nothing_changed(service: Service, running_trial: tuple[Database, int], page: Any) -> None:
    page.goto(f"{service.url}/studies/slow")
    page.get_by_text("epoch").first.wait_for()
    page.wait_for_timeout(5000)
    sizes: list[int] = []
    page.on("response", lambda answer: sizes.append(len(answer.body())) if "_dash-update" in answer.url else None)
    page.wait_for_timeout(5000)
    assert sizes
    assert max(sizes) < 2000


def test_pausing_and_resuming(service: Service, running_trial: tuple[Database, int], page: Any) -> None:
    page.goto(f"{service.url}/studies/slow")
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("paused by request").wait_for()
    assert service.state_of("slow") == "paused"
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Pause").wait_for()
    assert service.state_of("slow") in ("queued", "running")
