from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa

from model.errors import ConfigError, DatasetNotFound, ModelError
from tuner.engine.studies import creation
from tuner.engine.studies.creation import MARK
from tuner.errors import SpaceError, SpecificationError, StudyExists, TunerError
from tuner.settings import Settings
from tuner.space import SpaceParameter
from tuner.specification import PrunerSpecification, SamplerSpecification, StudySpecification
from tuner.store import Database, StudyState
from tuner.store import studies as study_rows
from tuner.store.tables import Slot, Study

Make = Callable[..., StudySpecification]


def slots(database: Database) -> list[Slot]:
    with database.session() as session:
        return list(session.scalars(sa.select(Slot).order_by(Slot.ordinal)))


def test_a_study_waits_with_one_slot_for_each_combination(
    database: Database, settings: Settings, specification: Make
) -> None:
    record = creation.create(database, settings, specification())
    assert (record.name, record.state, record.max_trials) == ("study", StudyState.QUEUED, 2)
    assert [slot.parameters for slot in slots(database)] == [
        {"finetune.learning_rate": 0.01},
        {"finetune.learning_rate": 0.1},
    ]


def test_optuna_knows_the_study(database: Database, settings: Settings, specification: Make) -> None:
    creation.create(database, settings, specification())
    known = optuna.load_study(study_name="study", storage=database.url.render_as_string(False))
    assert known.direction is optuna.study.StudyDirection.MAXIMIZE
    assert known.metric_names == ["ndcg@10"]
    assert known.trials == []


def test_another_protocol_shows_in_the_metrics_name(
    database: Database, settings: Settings, specification: Make
) -> None:
    config = {"eval_args": {"mode": {"valid": "uni9", "test": "full"}}, "valid_users": 20}
    creation.create(database, settings, specification(config=config))
    known = optuna.load_study(study_name="study", storage=database.storage)
    assert known.metric_names == ["ndcg@10 (uni9, 20 users)"]


def test_shared_pretraining_is_one_run_of_slots_shortest_first(
    database: Database, settings: Settings, specification: Make
) -> None:
    space = {"pretrain_epochs": [3, 1, 2], "finetune.learning_rate": [0.01, 0.1], "width": [4, 8]}
    creation.create(database, settings, specification(space=space))
    found = slots(database)
    groups = [slot.group_key for slot in found]
    assert len(found) == 12
    assert [slot.stage_epochs for slot in found] == [1, 1, 2, 2, 3, 3] * 2
    assert len(set(groups[:6])) == len(set(groups[6:])) == 1
    assert groups[0] != groups[6]


def test_what_only_finetuning_sees_shares_one_pretraining(
    database: Database, settings: Settings, specification: Make
) -> None:
    space = {"stopping_step": [1, 2], "finetune.learning_rate": [0.01, 0.1]}
    creation.create(database, settings, specification(space=space))
    assert len({slot.group_key for slot in slots(database)}) == 1


def test_sampled_studies_have_slots_without_parameters(
    database: Database, settings: Settings, specification: Make
) -> None:
    sampler = SamplerSpecification(name="tpe", options={"n_startup_trials": 3})
    space = {"learning_rate": SpaceParameter("learning_rate", "loguniform", low=-6, high=-1)}
    creation.create(database, settings, specification(space=space, sampler=sampler, max_trials=7))
    assert [slot.parameters for slot in slots(database)] == [None] * 7
    with database.session() as session:
        record = session.scalars(sa.select(Study)).one().sampler
    assert record == {
        "name": "tpe",
        "options": {
            "n_startup_trials": 3,
            "n_ei_candidates": 24,
            "multivariate": True,
            "group": False,
            "constant_liar": True,
        },
    }


CONTINUOUS = {"learning_rate": SpaceParameter("learning_rate", "uniform", low=0.001, high=0.1)}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "Tinny"}, ConfigError, "Did you mean"),
        ({"dataset": "tpy"}, DatasetNotFound, "Did you mean toy"),
        ({"space": {"widht": [1]}}, SpaceError, "Did you mean width"),
        ({"space": {"width": [0]}}, SpaceError, "at least 1"),
        ({"space": {"pretrain.trouble": ["none"]}}, SpaceError, "does nothing in the stage pretrain"),
        ({"space": {"width": [4]}, "config": {"width": 8}}, SpaceError, "both fixed and searched"),
        ({"config": {"width": "wide"}}, ConfigError, "width"),
        ({"model": "SURGE", "space": {"pool_length": [10, 60]}}, SpaceError, "pool_length = 60.*which is 50"),
        ({"space": {"eval_args": [{"mode": "full"}, {"mode": "uni9"}]}}, SpaceError, "can't be compared"),
        (
            {"space": CONTINUOUS, "sampler": SamplerSpecification(name="exhaustive")},
            SpecificationError,
            r"learning_rate \(uniform 0.001,0.1\).*`choice \[...\]` or a `quniform`, or use the sampler",
        ),
        (
            {"sampler": SamplerSpecification(name="tpe", options={"startup": 3})},
            SpecificationError,
            "no option startup. It has n_startup_trials",
        ),
        (
            {"pruner": PrunerSpecification(name="median", options={"percentile": 3})},
            SpecificationError,
            "no option percentile",
        ),
        (
            {"pruner": PrunerSpecification(name="percentile", options={"percentile": 300})},
            SpecificationError,
            "between 0 and 100",
        ),
        ({"config": {"pre_model_path": "nowhere.pth"}}, ModelError, "nowhere.pth"),
    ],
)
def test_a_mistake_is_explained_and_creates_nothing(
    database: Database,
    settings: Settings,
    specification: Make,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        creation.create(database, settings, specification(**options))
    assert slots(database) == []
    assert optuna.get_all_study_names(database.storage) == []
    assert not settings.artifacts.exists()


def test_a_missing_attribute_column_names_file_and_columns(
    database: Database, settings: Settings, specification: Make, data_root: Path
) -> None:
    chosen = specification(model="S3Rec", config={"item_attribute": "genre"})
    with pytest.raises(ModelError, match=r"genre.*toy\.item\. It has item_id, class\."):
        creation.create(database, settings, chosen)


def test_a_name_is_used_once(database: Database, settings: Settings, specification: Make) -> None:
    creation.create(database, settings, specification())
    with pytest.raises(StudyExists, match="'study'"):
        creation.create(database, settings, specification())
    assert len(slots(database)) == 2


def test_what_a_crash_left_of_a_creation_does_not_block_the_name(
    database: Database, settings: Settings, specification: Make
) -> None:
    left = optuna.create_study(study_name="study", storage=database.storage)
    left.set_user_attr(MARK, {"created": 0.0})
    assert creation.create(database, settings, specification()).name == "study"


def test_an_optuna_study_does_not_outlive_an_error_of_the_database(
    database: Database, settings: Settings, specification: Make
) -> None:
    with database.transaction() as session:
        session.execute(sa.text("DROP TABLE rectuner_events"))
    with pytest.raises(sa.exc.DBAPIError):
        creation.create(database, settings, specification())
    assert optuna.get_all_study_names(database.storage) == []


def test_a_name_that_was_taken_meanwhile_is_told_as_that(
    database: Database, settings: Settings, specification: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    creation.create(database, settings, specification())
    optuna.delete_study(study_name="study", storage=database.storage)
    look = creation._refuse_taken_name
    looks: list[str] = []

    def too_early(database: Database, name: str) -> None:
        looks.append(name)
        if len(looks) > 1:
            look(database, name)

    monkeypatch.setattr(creation, "_refuse_taken_name", too_early)
    with pytest.raises(StudyExists, match="'study'"):
        creation.create(database, settings, specification())
    assert optuna.get_all_study_names(database.storage) == []


def test_what_else_the_database_refuses_is_not_told_as_a_name_that_is_taken(
    database: Database, settings: Settings, specification: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = creation.sampled_slot(0)
    monkeypatch.setattr(creation, "_slots", lambda *_: [twice, twice])
    with pytest.raises(sa.exc.IntegrityError, match="ordinal"):
        creation.create(database, settings, specification())
    assert optuna.get_all_study_names(database.storage) == []
    with database.session() as session:
        assert session.scalars(sa.select(Study)).all() == []


def test_a_leftover_that_another_process_has_removed_meanwhile_is_no_error(database: Database) -> None:
    creation._remove_leftover(database, "study")


def test_of_two_that_find_the_same_leftover_one_is_told_that_the_name_is_taken(
    database: Database, settings: Settings, specification: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    optuna.create_study(study_name="study", storage=database.storage)

    def other_is_faster(database: Database, name: str) -> None:
        """The other one has removed the leftover and has created the name."""

    monkeypatch.setattr(creation, "_remove_leftover", other_is_faster)
    with pytest.raises(StudyExists, match="'study'"):
        creation.create(database, settings, specification())
    assert optuna.get_all_study_names(database.storage) == ["study"]


def test_a_new_study_is_not_called_like_an_id(database: Database, settings: Settings, specification: Make) -> None:
    with pytest.raises(SpecificationError, match=r"all digits.*study-1"):
        creation.create(database, settings, specification(name="1"))
    assert optuna.get_all_study_names(database.storage) == []


def test_a_study_from_before_that_is_called_like_an_id_is_found_by_its_name(
    database: Database, settings: Settings, specification: Make
) -> None:
    ids = [creation.create(database, settings, specification(name=name)).id for name in ("first", "second")]
    with database.transaction() as session:
        session.execute(sa.update(Study).where(Study.id == ids[1]).values(name=str(ids[0])))
    with database.session() as session:
        assert study_rows.find_study(session, str(ids[0])).id == ids[1]
        assert study_rows.find_study(session, "first").id == ids[0]
        assert study_rows.find_study(session, ids[1]).id == ids[1]


def test_other_peoples_optuna_studies_are_left_alone(
    database: Database, settings: Settings, specification: Make
) -> None:
    optuna.create_study(study_name="study", storage=database.storage)
    with pytest.raises(TunerError, match="was not made here"):
        creation.create(database, settings, specification())
    assert optuna.get_all_study_names(database.storage) == ["study"]


def test_a_data_folder_given_relative_is_found_from_anywhere(
    database: Database,
    settings: Settings,
    specification: Make,
    data_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUNER_DATA_ROOT", str(data_root / "nothing"))
    monkeypatch.chdir(data_root.parent)
    creation.create(database, settings, specification(config={"data_path": data_root.name}))
    with database.session() as session:
        stored = session.scalars(sa.select(Study)).one().specification
    assert stored["config"]["data_path"] == str(data_root)


def test_unknown_configuration_keys_are_warned_of(database: Database, settings: Settings, specification: Make) -> None:
    record = creation.create(database, settings, specification(config={"stoping_step": 3}))
    assert record.warnings == (
        "stoping_step is not a parameter that Tiny knows; it changes nothing. Did you mean stopping_step?",
    )


def test_parameters_without_effect_are_warned_of(database: Database, settings: Settings, specification: Make) -> None:
    space = {"surge_variant": ["released", "paper"], "same_mapping_weight": [0.1, 0.2]}
    config = {"pretrain_epochs": None, "metric_grad": "none", "metric_heads": 2}
    record = creation.create(database, settings, specification(model="SURGE", space=space, config=config))
    assert [warning for warning in record.warnings if "no effect" in warning] == [
        "metric_heads has no effect: with metric_grad 'none' all heads are the plain cosine.",
        "same_mapping_weight has no effect in some trials: only surge_variant 'paper' has soft clusters.",
    ]


def test_a_model_with_nothing_to_train_is_refused(database: Database, settings: Settings, specification: Make) -> None:
    with pytest.raises(SpecificationError, match=r"Popularity.*nothing to train.*S3Rec"):
        creation.create(database, settings, specification(model="Popularity"))
    assert slots(database) == []
