"""Visiting every page and following every link changes nothing; no worker runs here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag, urljoin

import optuna
import pytest
import sqlalchemy as sa

from tuner import space
from tuner.store import Database, TrialState
from tuner.store.tables import Slot, utc_now

if TYPE_CHECKING:
    from tests.browser.conftest import Service

pytestmark = pytest.mark.browser

SPACE = "n_layers choice [1, 2]\n"


@pytest.fixture(scope="module")
def service(start_service: Callable[[int], Service]) -> Service:
    """Two studies, one of them cancelled, and a trial that seems to run."""
    service = start_service(0)
    for name in ("open", "over"):
        service.launch(name=name, params=SPACE)
    service.act("over", "cancel")
    database = Database(service.database_url)
    study = optuna.load_study(study_name="open", storage=database.storage)
    trial = study.ask(fixed_distributions=space.parse(SPACE).distributions())
    with database.transaction() as session:
        slot = session.scalars(sa.select(Slot).where(Slot.state == TrialState.WAITING).order_by(Slot.id)).first()
        assert slot is not None
        slot.optuna_number, slot.state, slot.started_at = trial.number, TrialState.RUNNING, utc_now()
        slot.attempt, slot.lease_expires = 1, database.now(session) + 3600
    database.close()
    return service


def everything(url: str) -> dict[str, list[Any]]:
    """All rows of all tables: studies, trials, their states, events."""
    database = Database(url)
    tables = sa.MetaData()
    tables.reflect(database.engine)
    with database.session() as session:
        found = {name: session.execute(sa.select(table)).all() for name, table in tables.tables.items()}
    database.close()
    return found


def settle(page: Any) -> None:
    """Until there is a page, and then some time for what it might do unasked."""
    page.locator("#page h1, .empty, .swagger-ui .title, pre").first.wait_for()
    page.wait_for_timeout(700)


def crawl(page: Any, start: str) -> set[str]:
    """Visit ``start`` and whatever can be reached from it on the same host; the addresses that were visited."""
    waiting, visited = [start], set()
    while waiting:
        address = waiting.pop()
        if address in visited:
            continue
        visited.add(address)
        page.goto(address)
        settle(page)
        links = page.eval_on_selector_all("a[href]", "links => links.map(link => link.getAttribute('href'))")
        found = (urldefrag(urljoin(address, link)).url for link in links)
        waiting.extend(link for link in found if link.startswith(start))
    return visited


def test_visiting_everything_changes_nothing(service: Service, page: Any) -> None:
    before = everything(service.database_url)
    visited = {address.removeprefix(service.url) for address in crawl(page, service.url)}
    assert {"/", "/launch", "/studies/open", "/studies/over", "/studies/open/trials/0", "/docs"} <= visited
    # Within the application too, where pages are inserted without a new document.
    page.goto(service.url)
    for name in ("Launch", "Studies", "Launch"):
        page.locator(".nav").get_by_role("link", name=name).click()
        settle(page)
    page.locator("#launch-space").get_by_text("parameters").wait_for()
    assert everything(service.database_url) == before
