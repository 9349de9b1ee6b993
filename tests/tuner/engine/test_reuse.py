"""A sampler that draws the same parameters again: the result is there already, and is taken over."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState as OptunaState

from tuner import insight
from tuner.assembly import StudyOptions, assemble
from tuner.engine.files.weights import trial_weights
from tuner.engine.plan import make_plan
from tuner.engine.search.replay import Replay, replay
from tuner.engine.search.trials import of_the_search
from tuner.engine.studies import additions
from tuner.engine.work.entry import run_worker
from tuner.insight.events import list_events
from tuner.settings import Settings
from tuner.space import SearchSpace, SpaceParameter
from tuner.specification import ConfirmSpecification, PrunerSpecification, SamplerSpecification, StudySpecification
from tuner.store import Database, TrialState
from tuner.store.optuna_tables import best_numbers
from tuner.store.states import Origin
from tuner.store.tables import Epoch, Slot, Study

Create = Callable[..., int]
Make = Callable[..., StudySpecification]

# Two combinations in six draws: most of them come again.
AGAIN: dict[str, Any] = {
    "space": {"width": [4, 8]},
    "sampler": SamplerSpecification(name="random"),
    "max_trials": 6,
    "config": {"epochs": 2, "pretrain_epochs": 1},
}


def work(settings: Settings) -> None:
    run_worker(settings, exit_when_idle=True)


def trials(database: Database, name: str = "study") -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=name, storage=database.storage).trials


def firsts(database: Database, name: str = "study") -> dict[int, int]:
    """Number of every trial that came again -> the first with its parameters."""
    seen: dict[str, int] = {}
    found = {}
    for trial in of_the_search(trials(database, name)):
        first = seen.setdefault(str(trial.params), trial.number)
        if first != trial.number:
            found[trial.number] = first
    return found


def test_parameters_that_come_again_are_not_trained_again(
    database: Database, settings: Settings, create: Create
) -> None:
    create(**AGAIN)
    work(settings)
    again = firsts(database)
    assert len(again) == 4
    found = trials(database)
    for number, first in again.items():
        trial, original = found[number], found[first]
        assert trial.state is OptunaState.COMPLETE
        assert trial.value == original.value
        assert trial.intermediate_values == original.intermediate_values
        for name in ("best_epoch", "valid_result", "test_result", "protocol", "values"):
            assert trial.user_attrs[name] == original.user_attrs[name]
        assert trial.user_attrs["same_as"] == first
    with database.session() as session:
        trained = {*range(6)} - again.keys()
        assert session.scalar(sa.select(sa.func.count()).select_from(Epoch)) == 2 * len(trained)
        for slot in session.scalars(sa.select(Slot).where(Slot.optuna_number.in_(again))):
            assert (slot.state, slot.epochs_asked, slot.epochs_run, slot.seconds_run) == ("completed", 0, 0, 0.0)


def test_the_same_values_as_without_reusing_and_the_asks_can_be_repeated(
    database: Database, settings: Settings, create: Create
) -> None:
    found = []
    for name, reuses in (("with", True), ("without", False)):
        create(
            name,
            **AGAIN | {"sampler": SamplerSpecification(name="tpe", options={"n_startup_trials": 2})},
            reuse_results=reuses,
        )
        work(settings)
        assert replay(database, name) == Replay(name, 6, ())
        found.append([(trial.params, trial.value, trial.intermediate_values) for trial in trials(database, name)])
    assert found[0] == found[1]
    assert firsts(database, "without")
    assert not any("same_as" in trial.user_attrs for trial in trials(database, "without"))


def test_it_is_said_in_reports_and_events(database: Database, settings: Settings, create: Create) -> None:
    create(**AGAIN)
    work(settings)
    (number, first), *_ = firsts(database).items()
    trial = insight.get_trial(database, "study", number)
    assert (trial.same_as, trial.again) == (first, f"same parameters as trial {first}; its result")
    assert trial.curves == insight.get_trial(database, "study", first).curves
    assert (trial.epochs.asked, trial.epochs.run) == (0, 0)
    said = [event for event in list_events(database, "study", kind="reused").items if event.trial == number]
    assert [event.message for event in said] == [
        f"Trial {number} has the parameters of trial {first}, and so its result."
    ]


def test_the_original_is_the_best_is_kept_and_is_confirmed(
    database: Database, settings: Settings, create: Create
) -> None:
    study_id = create(**AGAIN, keep=2, confirm=ConfirmSpecification(top=2, seeds=2))
    work(settings)
    again = firsts(database)
    with database.session() as session:
        row = session.get_one(Study, study_id)
        assert set(best_numbers(session, row)) == set(again.values())
        confirmed = set(session.scalars(sa.select(Slot.confirms).where(Slot.origin == Origin.CONFIRM)))
        kept = set(session.scalars(sa.select(Slot.optuna_number).where(Slot.weights_bytes.is_not(None))))
    assert confirmed == kept == set(again.values())
    assert insight.get_study(database, "study").best_trial in again.values()
    for number, first in again.items():
        theirs = trial_weights(database, settings.artifacts, "study", first)
        assert trial_weights(database, settings.artifacts, "study", number) == theirs


def test_a_trial_whose_like_is_still_running_or_was_pruned_is_trained(
    database: Database, settings: Settings, create: Create
) -> None:
    pruner = PrunerSpecification(name="patient", options={"patience": 0})
    create(**AGAIN | {"config": {"epochs": 30, "learning_rate": 5.0, "stopping_step": 30}}, pruner=pruner)
    work(settings)
    pruned = {trial.number for trial in trials(database) if trial.state is OptunaState.PRUNED}
    assert pruned
    assert not {trial.user_attrs.get("same_as") for trial in trials(database)} & pruned


def test_who_asks_for_a_trial_by_hand_gets_it_trained(database: Database, settings: Settings, create: Create) -> None:
    study_id = create(**AGAIN | {"max_trials": 1})
    work(settings)
    (first,) = trials(database)
    additions.enqueue(database, study_id, {"width": first.params["width"]})
    work(settings)
    with database.session() as session:
        slot = session.scalars(sa.select(Slot).where(Slot.origin == Origin.ENQUEUED)).one()
        assert slot.state is TrialState.COMPLETED
        assert slot.seconds_run > 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"width": 4.0}, {"width": 4.0}, True),
        ({"width": 4.0}, {"width": 5.0}, False),
    ],
)
def test_parameters_are_compared_as_the_configuration_reads_them(
    specification: Make, one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    width = SpaceParameter("width", "quniform", low=4.0, high=8.0, q=1.0)
    counted = make_plan(specification(space={"width": width}))
    listed = make_plan(specification(space={"width": [4, 5]}))
    assert (counted.identity(one) == listed.identity({"width": int(other["width"])})) is same


def test_the_option_changes_no_name() -> None:
    space = SearchSpace((SpaceParameter("width", "choice", (4, 8)),))
    names = {
        assemble(StudyOptions(model="Tiny", dataset="toy", reuse_results=reuses), space).specification.name
        for reuses in (True, False)
    }
    assert len(names) == 1


@pytest.fixture
def own_data(tmp_path: Path, data_root: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The installation with data that may be changed."""
    shutil.copytree(data_root / "toy", tmp_path / "data" / "toy")
    monkeypatch.setenv("TUNER_DATA_ROOT", str(tmp_path / "data"))
    return settings.model_copy(update={"data_root": tmp_path / "data"})


def said_of_data(database: Database) -> list[str]:
    return [event.message for event in list_events(database, "study", kind="data").items]


ONE: dict[str, Any] = AGAIN | {"space": {"width": [4]}, "max_trials": 2}


def test_what_was_measured_on_other_data_is_trained_again(
    database: Database, own_data: Settings, create: Create
) -> None:
    study_id = create(**ONE)
    work(own_data)
    assert said_of_data(database) == []
    assert own_data.data_root is not None
    with (own_data.data_root / "toy" / "toy.inter").open("a") as file:
        file.write("u1\ti5\t99999\n")
    additions.raise_budget(database, study_id, 4)
    work(own_data)
    assert [trial.user_attrs.get("same_as") for trial in trials(database)] == [None, 0, None, 2]
    assert trials(database)[2].value != trials(database)[0].value
    assert said_of_data(database) == [
        "Trial 2 has the parameters of trial 0, but the data changed since, so it is trained. Values from before and "
        "after that can't be compared."
    ]


def test_what_began_from_another_pretrained_model_is_trained_again(
    database: Database, settings: Settings, create: Create, tmp_path: Path
) -> None:
    for seed in (1, 2):
        create(f"pretrained-{seed}", space={"width": [4]}, config={"seed": seed})
    work(settings)
    one, other = settings.artifacts.glob("stages/*/3.pth")
    given = tmp_path / "given.pth"
    shutil.copy(one, given)
    study_id = create(**ONE | {"config": ONE["config"] | {"pre_model_path": str(given)}})
    work(settings)
    shutil.copy(other, given)
    additions.raise_budget(database, study_id, 4)
    work(settings)
    assert [trial.user_attrs.get("same_as") for trial in trials(database)] == [None, 0, None, 2]
    (said,) = said_of_data(database)
    assert said.startswith("Trial 2 has the parameters of trial 0, but the pretrained model changed since, so")


def test_a_trial_of_which_nobody_knows_what_it_was_trained_on_is_trained_again(
    database: Database, settings: Settings, create: Create
) -> None:
    """Trials of earlier versions."""
    study_id = create(**ONE | {"max_trials": 1})
    work(settings)
    with database.transaction() as session:
        session.execute(sa.text("DELETE FROM trial_user_attributes WHERE key = 'inputs'"))
    additions.raise_budget(database, study_id, 3)
    work(settings)
    assert [trial.user_attrs.get("same_as") for trial in trials(database)] == [None, None, 1]
    assert said_of_data(database) == []
