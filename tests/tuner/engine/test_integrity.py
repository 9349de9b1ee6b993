"""Damaged checkpoints, as the engine's own load path meets them: no wrong value, no failed trial.

Five hundred seeded damages to a stage's file and to a trial's own, each of them once with the row that has the file's
SHA-256 and once without (as files of older versions are, and files that people bring along).
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
import torch
from stored import Stored, store

from model.errors import CheckpointError
from model.run import StageRun
from tuner.engine.files import integrity
from tuner.engine.files.weights import trial_weights
from tuner.engine.work.entry import run_worker
from tuner.engine.work.trial import TrialRun
from tuner.settings import Settings
from tuner.store import Database, TrialState, trial_files
from tuner.store.tables import Event, SharedStage, Slot, TrialFile

Create = Callable[..., int]
Damage = Callable[[Path, random.Random], None]


def flip(path: Path, chance: random.Random) -> None:
    """A bit anywhere: mostly in tensors and their optimizer's moments, the largest part of the file."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def flip_in_pickle(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    start = content.index(b"data.pkl")
    content[chance.randrange(start, content.index(b"PK", start))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def flip_in_directory(path: Path, chance: random.Random) -> None:
    """A bit in the list of parts at the end of the file."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(content.index(b"PK\x01\x02"), len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: chance.choice([0, 1, 20, len(content) - 20, chance.randrange(len(content))])])


def zero(path: Path, chance: random.Random) -> None:
    """A sector that the disk lost."""
    content = bytearray(path.read_bytes())
    start = chance.randrange(len(content))
    content[start : start + 512] = bytes(len(content[start : start + 512]))
    path.write_bytes(content)


def put_text(path: Path, chance: random.Random) -> None:
    path.write_text("Traceback (most recent call last):\n" * chance.randrange(1, 500))


def drop_key(path: Path, chance: random.Random) -> None:
    """A whole file of torch's, but something is missing in it."""
    content = torch.load(path, weights_only=True)
    inner = content["rectuner"] if chance.random() < 0.4 else content
    del inner[chance.choice(sorted(set(inner) - {"other_parameter", "config", "dataset", "items"}))]
    torch.save(content, path)


def change_optimizer(path: Path, chance: random.Random) -> None:
    content = torch.load(path, weights_only=True)
    state = content["optimizer"]["state"]
    chance.choice([state.clear, lambda: state[0].pop("exp_avg"), lambda: state[0].update(exp_avg=torch.ones(3))])()
    torch.save(content, path)


def put_another_models(path: Path, chance: random.Random) -> None:
    rows = chance.randrange(2, 30)
    torch.save({"state_dict": {"other.weight": torch.ones(rows, 4)}, "config": {"model": "Other"}, "epoch": 2}, path)


def put_another_runs(path: Path, chance: random.Random) -> None:
    """The right shapes, and other weights: of a run with other settings."""
    content = torch.load(path, weights_only=True)
    content["rectuner"]["key"] = f"{chance.randrange(16**8):064x}"
    content["state_dict"] = {name: value + 1 for name, value in content["state_dict"].items()}
    torch.save(content, path)


DAMAGES: list[Damage] = [
    *(flip, flip, flip_in_pickle, flip_in_directory, cut, zero),
    *(put_text, drop_key, change_optimizer, put_another_models, put_another_runs),
]


@pytest.fixture
def stored(database: Database, settings: Settings, create: Create) -> Stored:
    return store(database, settings, create)


def state(run: StageRun, path: Path) -> dict[str, Any]:
    """All that a run goes on from, as it would be written."""
    run.save(path)
    return torch.load(path, weights_only=True)


def same(one: Any, other: Any) -> bool:
    """Equality to the last bit, through containers."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def events(database: Database) -> list[str]:
    with database.session() as session:
        return list(session.scalars(sa.select(Event.message).where(Event.kind == "damaged").order_by(Event.id)))


# The same damages in every run: a few of them always, and all together 560.
SEEDS = [pytest.param(range(10), id="few"), pytest.param(range(10, 140), id="many", marks=pytest.mark.slow)]


@pytest.mark.parametrize("digests", [True, False], ids=["with digests", "without"])
@pytest.mark.parametrize("seeds", SEEDS)
def test_a_trial_never_goes_on_from_a_damaged_checkpoint_of_its_own(
    stored: Stored, tmp_path: Path, digests: bool, seeds: range
) -> None:
    whole = stored.own.read_bytes()
    right = stored.resumed()
    assert right is not None
    wanted = state(right, tmp_path / "wanted.pth")
    with stored.database.session() as session:
        row = session.scalars(sa.select(TrialFile)).one()
        digest = row.slot_id, row.name, row.sha256
    refused = 0
    for seed in seeds:
        chance = random.Random(seed)
        stored.own.write_bytes(whole)
        chance.choice(DAMAGES)(stored.own, chance)
        if digests:
            with stored.database.transaction() as session:
                trial_files.announce(session, *digest)
        else:
            stored.forget_digests()
        unchanged = stored.own.read_bytes() == whole
        run = stored.resumed()
        if run is None:
            refused += 1
            assert not stored.own.exists()
        else:
            # What is not used of a file may be wrong in it.
            assert unchanged or not digests
            assert same(state(run, tmp_path / "found.pth"), wanted), seed
    assert refused == len(events(stored.database)) > len(seeds) // 2
    assert len(list((stored.root / integrity.FOLDER).iterdir())) == 1


def test_the_last_few_damaged_files_are_kept(tmp_path: Path) -> None:
    for number in range(integrity.KEPT + 3):
        path = tmp_path / "stages" / str(number) / "3.pth"
        path.parent.mkdir(parents=True)
        path.write_text(str(number))
        assert integrity.set_aside(tmp_path, path) == tmp_path / "damaged" / f"stages-{number}-3.pth"
        assert not path.exists()
        os.utime(tmp_path / "damaged" / f"stages-{number}-3.pth", (number, number))
    assert len(list((tmp_path / "damaged").iterdir())) == integrity.KEPT
    assert integrity.set_aside(tmp_path, tmp_path / "stages" / "3" / "3.pth") is None


def test_a_disk_that_is_away_for_a_moment_is_no_damage(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> Any:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", away)
        with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
            stored.resumed()
    assert stored.resumed() is not None
    assert events(stored.database) == []


@pytest.mark.parametrize("digests", [True, False], ids=["with digests", "without"])
@pytest.mark.parametrize("seeds", SEEDS)
def test_no_trial_begins_from_a_damaged_stage(stored: Stored, digests: bool, seeds: range) -> None:
    content, wanted = torch.load(stored.shared, weights_only=True), stored.begun()
    for seed in seeds:
        chance = random.Random(1000 + seed)
        found = torch.load(stored.shared, weights_only=True)
        # A stage that does not validate has no use for the protocol: a file without it is as good.
        found["rectuner"].setdefault("protocol", content["rectuner"]["protocol"])
        assert same(found, content)  # though it was trained again
        chance.choice(DAMAGES)(stored.shared, chance)
        if not digests:
            stored.forget_digests()
        assert same(stored.begun(), wanted), seed


def outcomes(database: Database, name: str) -> list[Any]:
    trials = optuna.load_study(study_name=name, storage=database.storage).trials
    return sorted(
        (str(t.params), t.state, t.value, str(t.intermediate_values), t.user_attrs["test_result"]) for t in trials
    )


@pytest.mark.parametrize("damage", [flip, cut, pytest.param(put_text, marks=pytest.mark.slow)])
def test_trials_end_with_the_same_values_whatever_was_damaged_on_the_way(
    database: Database, settings: Settings, create: Create, monkeypatch: pytest.MonkeyPatch, damage: Damage
) -> None:
    """A whole study: its worker is asked to stop in every trial, and its files are damaged then."""
    space = {"finetune.learning_rate": [0.01, 0.1]}
    create("undisturbed", space=space)
    run_worker(settings, exit_when_idle=True)
    wanted = outcomes(database, "undisturbed")
    with database.transaction() as session:
        session.execute(sa.delete(SharedStage))
    create("disturbed", space=space)
    record, seen = TrialRun._record, set()

    def stop_once(run: TrialRun, report: Any) -> None:
        record(run, report)
        if run.trial.number not in seen:
            seen.add(run.trial.number)
            run.keeper.ask_to_stop()

    monkeypatch.setattr(TrialRun, "_record", stop_once)
    chance = random.Random(7)
    for _ in range(2):
        run_worker(settings, exit_when_idle=True)
        files = [
            *settings.artifacts.glob("stages/*/*.pth"),
            *settings.artifacts.glob("studies/2/trials/*/finetune.pth"),
        ]
        assert len(files) >= 2
        for path in files:
            damage(path, chance)
    run_worker(settings, exit_when_idle=True)
    assert len(seen) == 2
    assert outcomes(database, "disturbed") == wanted
    assert len(events(database)) >= 2
    with database.session() as session:
        assert set(session.scalars(sa.select(Slot.state))) == {TrialState.COMPLETED}


def test_damaged_weights_are_not_handed_out(database: Database, settings: Settings, create: Create) -> None:
    create("study", space={"width": [4]})
    run_worker(settings, exit_when_idle=True)
    path = trial_weights(database, settings.artifacts, "study", 0)
    flip(path, random.Random(0))
    with pytest.raises(CheckpointError, match=r"is not as it was written .*tuner trial retrain study 0"):
        trial_weights(database, settings.artifacts, "study", 0)
