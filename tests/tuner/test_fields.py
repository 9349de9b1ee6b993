"""A field of a study is declared once: flags, schemas, forms, controls, bounds and names follow from that."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from tuner import space
from tuner.assembly import assemble, derived_name, same_study
from tuner.cli.app import app
from tuner.cli.requests import flags, takes_fields
from tuner.dashboard.pages.launch import _known, controls
from tuner.fields import Role, fields_of, read_texts, role_of
from tuner.service.schemas import BudgetRequest, StudyRequest
from tuner.service.study_body import FILES, form_schema
from tuner.specification import ConfirmSpecification, StudyOptions, StudySpecification

DOCS = Path(__file__).parents[2] / "docs"
SPACE = "pretrain_epochs choice [1, 2]\nfinetune.learning_rate loguniform -8,-5\n"


class WithOneMore(StudyOptions):
    """The options with a field that did not exist yesterday."""

    patience_hours: float = Field(default=1.5, gt=0, description="How long nobody minds.")


class AskedWithOneMore(StudyRequest):
    patience_hours: float = Field(default=1.5, gt=0, description="How long nobody minds.")


class CheaperWithOneMore(StudyOptions):
    patience_hours: Annotated[float, Role(budget=True, flag=False)] = 1.5


def names_of(kind: type[StudyOptions]) -> set[str]:
    return {field.name for field in fields_of(kind)}


def test_a_new_field_is_a_flag() -> None:
    seen: dict[str, str] = {}

    def command(fields: dict[str, str], other: int = 3) -> None:
        seen.update(fields, other=str(other))

    small = typer.Typer()
    small.command()(takes_fields(command, WithOneMore))
    assert CliRunner().invoke(small, ["--patience-hours", "2", "--other=4"]).exit_code == 0
    assert seen == {"patience_hours": "2", "other": "4"}
    assert flags(WithOneMore)["patience_hours"] == ("--patience_hours", "--patience-hours")
    assert "patience_hours" not in flags(CheaperWithOneMore)


def test_a_new_field_is_in_the_form_and_in_the_json() -> None:
    described = form_schema(AskedWithOneMore)["properties"]["patience_hours"]
    assert (described["type"], described["exclusiveMinimum"]) == ("number", 0)
    assert described["description"] == "How long nobody minds."
    assert "patience_hours" in AskedWithOneMore.model_json_schema()["properties"]


def test_a_new_field_has_a_control() -> None:
    assert "launch-patience-hours" in ids(controls(_known([], None, []), WithOneMore))
    assert "launch-patience-hours" not in ids(controls(_known([], None, [])))


def ids(components: list[Any]) -> set[str]:
    every = [part for component in components for part in (component, *component._traverse())]
    return {part.id for part in every if hasattr(part, "id")}


def test_a_new_field_tells_studies_apart_when_it_is_set_and_leaves_their_names_otherwise() -> None:
    content = {"model": "S3Rec", "dataset": "toy", "seed": 2020}
    before = derived_name(content)
    assert derived_name(content | {"patience_hours": 1.5}, WithOneMore) == before
    assert derived_name(content | {"patience_hours": 2.0}, WithOneMore) != before
    assert derived_name(content | {"patience_hours": 2.0}, CheaperWithOneMore) == before


# Names that version 1 derived. A study is found again by its name, so they stay.
@pytest.mark.parametrize(
    ("options", "digest"),
    [
        ({}, "f13bb3"),
        ({"config": {"train_batch_size": 512, "eval_args": {"split": {"LS": "valid_and_test"}}}}, "12457d"),
        ({"sampler": {"name": "tpe", "options": {"n_startup_trials": 5}}, "pruner": "median", "seed": 7}, "691e91"),
        (
            {"sampler": "bayes", "max_trials": 5, "timeout_seconds": 60, "computing_hours": 2.5, "early_stop": 3}
            | {"target_value": 0.1, "max_failures": 2, "keep": 3, "reuse_results": False, "workers": 2},
            "6ba93b",
        ),
        ({"warm_start": "other", "confirm": {"top": 2, "seeds": 3}, "sampler": "tpe"}, "c633b0"),
    ],
    ids=["nothing", "configuration", "search", "budget", "later fields"],
)
def test_a_study_has_the_name_that_it_always_had(options: dict[str, Any], digest: str) -> None:
    asked = StudyOptions.model_validate({"model": "S3Rec", "dataset": "ml-100k"} | options)
    assert assemble(asked, space.parse(SPACE)).specification.name == f"S3Rec-ml-100k-{digest}"


def test_a_study_may_have_its_budget_changed_and_nothing_else() -> None:
    one = StudySpecification(name="s", model="S3Rec", dataset="d", space={"parameters": []})
    budget = {"max_trials": 3, "timeout_seconds": 2.0, "computing_hours": 1.0, "early_stop": 2, "target_value": 0.1}
    budget |= {"max_failures": 1, "keep": "all", "reuse_results": False, "workers": 2}
    assert {name for name, field in StudySpecification.model_fields.items() if role_of(field).budget} == set(budget)
    assert same_study(one, one.model_copy(update=budget)) == []
    other = one.model_copy(update={"confirm": ConfirmSpecification(), "seed": 1})
    assert set(same_study(one, other)) == {"confirm", "seed"}


def test_what_may_be_changed_later_is_what_is_declared_so() -> None:
    later = {field.name: field for field in fields_of(StudyOptions) if field.role.later}
    assert set(BudgetRequest.model_fields) == set(later)
    described = BudgetRequest.model_json_schema()["properties"]
    assert {name: described[name]["maximum"] for name in later} == {"max_trials": 100_000}


def test_the_form_has_every_field_of_the_json() -> None:
    assert set(form_schema()["properties"]) == names_of(StudyRequest) | set(FILES)


def test_structures_come_as_texts_and_the_rest_as_it_is() -> None:
    texts = {"confirm": '{"top": 2, "seeds": 3}', "sampler": "bayes", "warm_start": "3", "reuse_results": "false"}
    texts |= {"keep": "3", "max_trials": "4", "pruner": '{"name": "median"}'}
    read = StudyOptions.model_validate(read_texts(StudyOptions, texts))
    assert read.confirm == ConfirmSpecification(top=2, seeds=3)
    assert (read.sampler.name, read.pruner.name) == ("tpe", "median")
    assert (read.warm_start, read.reuse_results, read.keep, read.max_trials) == ("3", False, 3, 4)


def test_every_field_has_a_text() -> None:
    assert [field.name for field in fields_of(StudyRequest) if not field.description] == []


def test_the_documentation_lists_every_flag_and_field() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    options = page.split("## tuner run")[1].split("\n## ")[0]
    for names in flags().values():
        assert f"`{names[0]}`" in options, names[0]
    file = page.split("## Study folders")[1].split("```")[1]
    keys = set(re.findall(r"^(\w+):", file, re.MULTILINE))
    assert names_of(StudyOptions) - keys == set()
    form = (DOCS / "rest-api.md").read_text(encoding="utf-8").split("The form's fields are")[1].split("\n\n")[0]
    assert (names_of(StudyOptions) | set(FILES)) - set(re.findall(r"`(\w+)`", form)) == set()


@pytest.mark.parametrize("command", ["run", "launch"])
def test_flags_are_in_the_help(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
    for names in flags().values():
        assert names[0] in shown
