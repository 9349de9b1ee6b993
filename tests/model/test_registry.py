"""Models by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from model import registry
from model.defaults import COMMON
from model.definition import ModelDefinition
from model.errors import ConfigError


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_the_shipped_models_are_there_under_their_own_names(name: str) -> None:
    definition = registry.get_model(name)
    assert isinstance(definition, ModelDefinition)
    assert definition.name == name
    assert name in registry.model_names()


def test_the_schema_is_the_common_keys_and_the_models_own() -> None:
    schema = registry.parameters_of("S3Rec")
    assert {parameter.name for parameter in COMMON} < set(schema)
    assert schema["mask_ratio"].default == 0.2


@pytest.mark.parametrize(("name", "nearest"), [("s3rec", "S3Rec"), ("S3Rek", "S3Rec"), ("popularity", "Popularity")])
def test_a_wrong_name_gets_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=f"model = '{name}'.*Did you mean {nearest}"):
        registry.get_model(name)


@pytest.mark.parametrize(("name", "known"), [("SASRec", "SASRec"), ("sasrec", "SASRec"), ("LightGCN", "LightGCN")])
def test_a_model_that_only_recbole_has_is_said_to_be_one(name: str, known: str) -> None:
    with pytest.raises(ConfigError, match=f"{known} is a model of RecBole that is not here. There are: S3Rec, "):
        registry.get_model(name)


def test_a_letter_of_another_alphabet_is_named() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean S3Rec\? Its character 4 is .*CYRILLIC SMALL LETTER IE"):
        registry.get_model("S3R\u0435c")


def test_a_name_like_no_other_gets_the_list() -> None:
    with pytest.raises(ConfigError, match="There are: S3Rec, "):
        registry.get_model("xyz")


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution with entry points, as pip would have installed it."""
    metadata = tmp_path / "other_models-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other-models\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[rectuner.models]\nTwin = other_models:TWIN\nNumber = other_models:NUMBER\nGone = no_such_module:X\n"
    )
    (tmp_path / "other_models.py").write_text(
        "from dataclasses import replace\nfrom model.popularity import DEFINITION\n"
        "from model.parameters import Parameter\n"
        "OWN = (Parameter('valid_metric', 'str', 'Hit@5', ''), Parameter('learner', 'str', 'sgd', ''))\n"
        "TWIN = replace(DEFINITION, name='Twin', parameters=OWN)\nNUMBER = 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("other_models", None)
    registry.get_model.cache_clear()


def test_a_model_of_another_distribution_is_found_by_its_entry_point(plugin: Path) -> None:
    assert registry.get_model("Twin").name == "Twin"
    # Behind the shipped ones; other tests' plug-ins may be there too.
    assert "Twin" in registry.model_names()[len(registry.BUILT_IN) :]


def test_a_models_own_version_of_a_common_key_measures_as_much(plugin: Path) -> None:
    schema = registry.parameters_of("Twin")
    registry.parameters_of.cache_clear()
    assert (schema["valid_metric"].default, schema["valid_metric"].measures) == ("Hit@5", True)
    assert not schema["learner"].measures


def test_an_entry_point_that_is_no_model_is_an_error(plugin: Path) -> None:
    with pytest.raises(ConfigError, match="'Number' is registered, but not as a ModelDefinition"):
        registry.get_model("Number")


def test_an_entry_point_that_cannot_be_imported_is_an_error_that_says_why(plugin: Path) -> None:
    with pytest.raises(ConfigError, match=r"'Gone'.*no_such_module"):
        registry.get_model("Gone")
