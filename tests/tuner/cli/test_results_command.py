"""What is taken away from a study at the command line; what is in it, tests/tuner/insight says."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import optuna
import pytest
import yaml
from command_line import SPACE, Tuner
from sqlalchemy import update

from tuner import space
from tuner.assembly import StudyOptions, assemble
from tuner.engine.studies import creation
from tuner.settings import Settings
from tuner.store import Database, TrialState
from tuner.store.tables import Slot


@pytest.fixture
def studied(home: Path) -> None:
    """A study of four trials, one of which has completed."""
    settings = Settings(home=home)
    database = Database(settings.database)
    database.upgrade()
    assembled = assemble(StudyOptions(name="toy-study", model="S3Rec", dataset="toy"), space.parse(SPACE))
    creation.create(database, settings, assembled)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name="toy-study", storage=database.storage)
    trial = study.ask(fixed_distributions=assembled.plan.space.distributions())
    trial.set_user_attr("valid_result", {"ndcg@10": 0.1})
    trial.set_user_attr("test_result", {"ndcg@10": 0.1})
    study.tell(trial, 0.1)
    with database.transaction() as session:
        done = {"optuna_number": trial.number, "state": TrialState.COMPLETED}
        session.execute(update(Slot).where(Slot.ordinal == 0).values(**done))
    database.close()


@pytest.mark.parametrize("command", [("study", "best", "toy-study"), ("trial", "config", "toy-study", 0)])
def test_a_configuration_is_printed_or_written(tuner: Tuner, studied: None, command: tuple[object, ...]) -> None:
    printed = tuner(*command)
    assert printed.code == 0
    assert yaml.safe_load(printed.out)["finetune.learning_rate"] in (0.01, 0.03)
    assert tuner(*command, "--format=flags").out.startswith("--model=S3Rec --dataset=toy ")
    assert tuner(*command, "--output=best.yaml").code == 0
    assert Path("best.yaml").read_text() == printed.out


def test_trials_are_printed_or_written(tuner: Tuner, studied: None) -> None:
    rows = list(csv.DictReader(io.StringIO(tuner("study", "export", "toy-study").out)))
    assert [row["state"] for row in rows] == ["completed", "waiting", "waiting", "waiting"]
    assert tuner("study", "export", "toy-study", "--format=recbole", "-o", "trials.result").code == 0
    assert Path("trials.result").read_text().endswith("Test result:\nndcg@10 : 0.1\n\n")
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["trials.result"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("study", "best", "nothing"), "There is no study"),
        (("study", "export", "nothing"), "There is no study"),
        (("study", "best", "toy-study", "--format=toml"), "Formats: json, yaml, recbole, flags, python."),
        (("study", "export", "toy-study", "--format=xls"), "Formats: csv, ndjson, parquet, recbole."),
        (("trial", "config", "toy-study", 3), "toy-study has no trial 3"),
        (("study", "export", "toy-study", "--output=/proc/trials.csv"), "/proc/trials.csv: can't be written"),
    ],
)
def test_what_is_not_there_is_said(tuner: Tuner, studied: None, arguments: tuple[object, ...], said: str) -> None:
    outcome = tuner(*arguments)
    assert outcome.code == 2
    assert said in " ".join(outcome.err.replace("│", " ").split())
