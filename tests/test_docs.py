"""The documentation names what is there: settings, commands, routes, modules, files, and nothing that is not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from model.registry import get_model, model_names
from tuner.cli.app import app
from tuner.engine.search.ladder import NAME as LADDER
from tuner.engine.search.pruners import BUILDERS
from tuner.engine.search.samplers import EXHAUSTIVE, KINDS
from tuner.service.app import PREFIX, create_app
from tuner.settings import Settings
from tuner.specification import PrunerName, SamplerName
from tuner.store import trial_outcome
from tuner.store.trial_outcome import CONFIRMS, OUTCOME, REACHED, RUNNING, SEED, SEEN, SLOT, WARM_START

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Read by commands and tests, not by an installation.
NO_SETTINGS = {"TUNER_URL", "TUNER_TOKEN", "TUNER_CHROMIUM"}


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def commands(command: Any = None, *path: str) -> Iterator[tuple[str, ...]]:
    """Every command by the words that call it."""
    command = command or typer.main.get_command(app)
    if not hasattr(command, "commands"):
        yield path
        return
    for name, inner in command.commands.items():
        yield from commands(inner, *path, name)


def written_commands(page: str) -> set[tuple[str, ...]]:
    """What a page calls ``tuner A`` or ``tuner A B|C``, as far as it could be a command."""
    found: set[tuple[str, ...]] = set()
    for words in re.findall(r"(?:^|[`$(#\s])tuner ((?:[a-z|]+ ?)+)", page, re.MULTILINE):
        found |= set(product(*(word.split("|") for word in words.split())))
    return found


def test_every_setting_is_in_the_table_and_every_name_is_a_setting() -> None:
    settings = {f"TUNER_{name.upper()}" for name in Settings.model_fields}
    table = text_of("docs/cli.md").split("## Settings")[1]
    assert settings - set(re.findall(r"`(TUNER_\w+)`", table)) == set()
    for page in PAGES:
        named = set(re.findall(r"\bTUNER_[A-Z_]+\b", page.read_text(encoding="utf-8")))
        assert named - settings - NO_SETTINGS == set(), page


def test_every_command_is_described() -> None:
    page = text_of("docs/cli.md")
    written = written_commands(page)
    for path in commands():
        called = any(words[: len(path)] == path for words in written)
        assert called or f"## tuner {' '.join(path)}" in page or _in_heading(path, page), path


def _in_heading(path: tuple[str, ...], page: str) -> bool:
    """``tuner launch`` under the heading "tuner serve, launch, worker"."""
    headings = re.findall(r"^## tuner (.*)$", page, re.MULTILINE)
    return len(path) == 1 and any(path[0] in re.split(r"\W+", heading) for heading in headings)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_calls_is_there(page: Path) -> None:
    groups: dict[str, set[str]] = {}
    for path in commands():
        groups.setdefault(path[0], set()).update(path[1:])
    blocks = re.findall(r"```\n(.*?)```|`([^`\n]+)`", page.read_text(encoding="utf-8"), re.DOTALL)
    for words in written_commands("\n".join(block or inline for block, inline in blocks)):
        assert words[0] in groups, words
        if groups[words[0]] and len(words) > 1:
            assert words[1] in groups[words[0]], words


def test_the_table_of_rest_routes_is_the_services(tmp_path: Path) -> None:
    paths = create_app(Settings(home=tmp_path)).openapi()["paths"]
    there = {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path.removeprefix(PREFIX)))
        for path, methods in paths.items()
        for method in methods
        if path.startswith(PREFIX)
    }
    written = set()
    for row in re.findall(r"^\| (`(?:GET|POST|PUT|PATCH|DELETE) .*?) \|", text_of("docs/rest-api.md"), re.MULTILINE):
        written |= _routes(row)
    assert there - written == set(), "not documented"
    assert written - there == set(), "documented, but not there"


def _routes(cell: str) -> set[tuple[str, str]]:
    """The routes of one cell: several in full, or one and the last words of its siblings."""
    found: set[tuple[str, str]] = set()
    method = path = ""
    for text in re.findall(r"`([^`]+)`", cell):
        if " " in text:
            method, path = text.split(" ")
        else:
            path = f"{path.rpartition('/')[0]}/{text}"
        found.add((method, re.sub(r"\{\w+\}", "{}", path)))
    return found


def test_every_module_that_the_architecture_names_is_there() -> None:
    table = text_of("ARCHITECTURE.md").split("## Where things are")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    assert len(rows) > 15
    for row in rows:
        folder = ""
        for name in re.findall(r"`([^`]+)`", row):
            # "`model/config.py`, `parameters.py`": the folder is said once.
            place = name if (ROOT / name).exists() else f"{folder}/{name}"
            assert (ROOT / place).exists(), name
            folder = str(Path(place).parent)


def test_every_package_of_the_house_is_in_the_architecture() -> None:
    page = text_of("ARCHITECTURE.md")
    for package in ("model", "tuner"):
        for folder in (path.parent for path in (ROOT / package).glob("*/__init__.py")):
            assert re.search(rf"\b{folder.name}/?\b", page), folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", text):
        if "://" not in target:
            other = (page.parent / target if target else page).read_text(encoding="utf-8")
            titles = re.findall(r"^#+ (.*)$", other, re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in anchors, f"{target}#{anchor}"


def test_the_tables_of_a_trials_attributes_are_those_that_trials_get() -> None:
    there = {SLOT, SEEN, RUNNING, REACHED, CONFIRMS, SEED, WARM_START, *OUTCOME}
    table = text_of("docs/engine.md").split("## What a trial has in Optuna")[1].split("\n## ")[0]
    written = {
        name for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
    assert written == there
    told = set(re.findall(r"^``(\w+)``", trial_outcome.__doc__ or "", re.MULTILINE))
    assert told == there - set(OUTCOME)


def test_every_file_that_an_extension_touches_is_there_and_so_are_the_writers_of_what_is_kept_twice() -> None:
    page = text_of("ARCHITECTURE.md")
    for title in ("What is kept twice, and which copy decides", "What an extension costs"):
        table = page.split(f"## {title}\n")[1].split("\n## ")[0]
        files = re.findall(r"`([\w/]+/[\w/]+\.py)`", table)
        assert len(files) > 5
        for name in files:
            assert any((ROOT / folder / name).is_file() for folder in (".", "tuner", "tuner/engine")), name


def test_every_sampler_and_pruner_that_has_a_name_can_be_made_and_is_described() -> None:
    section = text_of("docs/engine.md").split("## Samplers and pruners")[1].split("\n## ")[0]
    assert set(get_args(SamplerName)) == {"auto", EXHAUSTIVE, *KINDS}
    assert set(re.findall(r"^\| (\w+) \|", section, re.MULTILINE)) - {"sampler"} == {EXHAUSTIVE, *KINDS}
    listed = re.search(r"^Pruners: (.*)\.$", section, re.MULTILINE)
    assert listed is not None
    assert set(get_args(PrunerName)) == set(re.split(r", (?:and )?", listed[1])) == {*BUILDERS, LADDER}


def test_no_model_and_no_stage_is_known_by_name_where_studies_are_run_and_shown() -> None:
    models = [get_model(name) for name in model_names()]
    names = {model.name for model in models} | {stage.name for model in models for stage in model.stages}
    for path in sorted((ROOT / "tuner").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Constant) and node.value in names), f"{path}:{node.lineno}: {node.value}"
