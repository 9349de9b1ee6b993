"""The dashboard in a browser, over a study that real workers run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from waiting import wait_until

expect = pytest.importorskip("playwright.sync_api").expect

if TYPE_CHECKING:
    from tests.browser.conftest import Service

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)

# Small enough for seconds; the absurd learning rate makes every second trial fail.
STUDY = {
    "name": "two-kinds",
    "params": "finetune.learning_rate choice [0.001, 1e30]\nhidden_dropout_prob choice [0.1, 0.2]\n",
    "config": {
        "pretrain_epochs": 2,
        "epochs": 3,
        "hidden_size": 16,
        "inner_size": 16,
        "n_layers": 1,
        "MAX_ITEM_LIST_LENGTH": 8,
        "valid_metric": "NDCG@10",
    },
}


@pytest.fixture(scope="module")
def service(start_service: Callable[[int], Service]) -> Service:
    return start_service(1)


def test_an_installation_without_studies_says_how_to_begin(start_service: Callable[[int], Service], page: Any) -> None:
    page.goto(start_service(0).url)
    page.get_by_text("Launch a first study").wait_for()
    page.get_by_text("tuner data get ml-100k").wait_for()


def test_a_study_is_launched_watched_and_understood(service: Service, page: Any) -> None:
    page.goto(service.url)
    page.locator("#page h1").first.wait_for()

    # The list, and then the study, change without a reload.
    _ensure_study(service)
    page.get_by_text("two-kinds").click()
    page.get_by_role("heading", name="two-kinds").wait_for()
    # The page's head says so, and then the list of events too.
    page.get_by_text("2 of 4 trials succeeded").first.wait_for(timeout=240_000)
    assert service.state_of("two-kinds") == "completed"
    best = page.locator(".tile", has_text="Best valid ndcg@10").locator(".tile-value")
    expect(best).to_have_text(re.compile(r"^0\.\d+$"))
    # The table follows by itself, a moment before or after the rest of the page.
    expect(page.locator("#trials .state-completed")).to_have_count(2)
    expect(page.locator("#trials .state-failed")).to_have_count(2)
    page.locator("#events").get_by_text("created", exact=True).wait_for()
    wait_until(page, "document.querySelector('#study-history .js-plotly-plot').data.length >= 2")
    leaves = "document.querySelector('#study-stages .js-plotly-plot').data.at(-1).text"
    wait_until(page, f"{leaves}?.length === 4")
    assert page.evaluate(leaves)[0].startswith("trial ")

    # A failed trial says why.
    page.locator("#trials .ag-row", has=page.locator(".state-failed")).first.locator(".trial-link").click()
    page.locator(".error").get_by_text("NonFiniteLoss").first.wait_for()
    page.get_by_text("Traceback", exact=True).click()
    page.locator(".error pre").wait_for()
    for _ in range(2):  # updates of the page, which leave it open
        page.wait_for_event("response", lambda answer: "_dash-update" in answer.url)
    assert page.locator(".error pre").is_visible()


def test_confirmations_are_told_from_the_search(service: Service, page: Any) -> None:
    config = STUDY["config"] | {"pretrain_epochs": 1, "epochs": 1}
    params = "finetune.learning_rate choice [0.001, 0.002]\n"
    service.launch(name="twice", params=params, config=config, confirm={"top": 2, "seeds": 2})
    page.goto(f"{service.url}/studies/twice")
    card = page.locator("#study-confirmation")
    card.get_by_text("4 of 4 runs ended").wait_for(timeout=240_000)
    expect(card.locator("tbody tr")).to_have_count(2)
    expect(card.locator("tbody tr").first).to_contain_text("±")
    card.get_by_text("on average of 2 seeds").wait_for()
    # The search has two trials, and the list says of the others what they are.
    expect(page.locator(".tile", has_text="Trials").locator(".tile-value")).to_have_text(re.compile(r"^2\s*/\s*2$"))
    # While the table is drawn again, rows that leave it are there beside those that come.
    expect(page.locator("#trials .trial-link")).to_have_count(6)
    again = page.locator("#trials .ag-row", has_text="again with seed")
    expect(again).to_have_count(4)
    again.first.locator(".trial-link").click()
    page.locator(".pill", has_text="again with seed").wait_for()


def test_the_scheme_can_be_switched_and_reaches_the_figures(service: Service, page: Any) -> None:
    _ensure_study(service)
    page.goto(f"{service.url}/studies/two-kinds")
    ink = "document.querySelector('#study-history .js-plotly-plot')?.layout?.template?.layout?.font?.color"
    wait_until(page, f"({ink}) === '#1f2430'")
    page.locator("#scheme-toggle").click()
    wait_until(page, f"({ink}) === '#e4e7ec'")
    assert page.locator("html").get_attribute("data-mantine-color-scheme") == "dark"


def test_launch_explains_the_space_while_it_is_typed(service: Service, page: Any) -> None:
    page.goto(f"{service.url}/launch")
    page.locator("#launch-params").fill("n_layer choice [1, 2]")
    page.get_by_text("Did you mean n_layers?").wait_for()
    page.locator("#launch-params").fill("n_layers choice [1, 2]\nn_heads choice [1, 2]")
    page.get_by_text("4 combinations").wait_for()


def test_launch_takes_a_file_and_says_what_rest_says(service: Service, page: Any, tmp_path: Path) -> None:
    page.goto(f"{service.url}/launch")
    page.locator("#launch-space").get_by_text("parameters").wait_for()
    file = tmp_path / "mine.test"
    file.write_text("n_layers choice [1, 2, 3]\n")
    page.locator("#launch-file input[type=file]").set_input_files(file)
    page.get_by_text("3 combinations").wait_for()
    expect(page.locator("#launch-source")).to_have_text("mine.test")
    expect(page.locator("#launch-params")).to_have_value("n_layers choice [1, 2, 3]\n")
    page.locator("#launch-config").fill("hiden_size: 4")
    page.get_by_text("Did you mean hidden_size?").wait_for()


def test_launch_begins_with_what_the_chosen_model_suggests(service: Service, page: Any) -> None:
    page.goto(f"{service.url}/launch")
    editor = page.locator("#launch-params")
    wait_until(page, "document.querySelector('#launch-params')?.value.includes('pretrain_epochs')")
    _choose_model(page, "SURGE")
    wait_until(page, "document.querySelector('#launch-params').value.includes('surge_variant')")
    # What somebody wrote is theirs.
    editor.fill("learning_rate choice [0.1, 0.2]")
    _choose_model(page, "S3Rec")
    page.get_by_text("2 combinations").wait_for()
    assert editor.input_value() == "learning_rate choice [0.1, 0.2]"


def _choose_model(page: Any, name: str) -> None:
    page.locator("#launch-model").click()
    page.get_by_role("option", name=name, exact=True).click()


def test_the_documentation_of_the_api_opens(service: Service, page: Any) -> None:
    page.goto(f"{service.url}/docs")
    page.get_by_text("/api/v1/studies/{name}/pause").wait_for()


def test_a_study_that_is_not_there(service: Service, page: Any) -> None:
    page.goto(f"{service.url}/studies/nonesuch")
    page.get_by_text("There is no study 'nonesuch'.").wait_for()
    page.get_by_role("link", name="All studies").wait_for()


def _ensure_study(service: Service) -> None:
    """So that each test can run alone, and in any order."""
    if service.state_of("two-kinds") is None:
        service.launch(**STUDY)
