"""Commands that train: real worker processes on synthetic data."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from command_line import SPACE, STUDY, Tuner

from tuner.client import ApiError, Client
from tuner.insight import snapshot
from tuner.store import Database

pytestmark = pytest.mark.slow

Start = Callable[..., "subprocess.Popen[str]"]


def trials(tuner: Tuner, study: str = "toy-study") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(tuner("trial", "ls", study, "--json").out)
    return listed


def until(condition: Callable[[], bool], seconds: float = 180.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


def test_a_study_folder_is_run_to_its_end_and_shown_again(tuner: Tuner, study: Path) -> None:
    outcome = tuner("run", study, "--output_file=toy.result", "--workers=1")
    assert outcome.code == 0, outcome.err
    assert outcome.out.count(" completed with ndcg@10 ") == 4
    assert "toy-study is completed" in outcome.out
    assert "Pretraining epochs: 6 asked for, 2 run, 4 shared." in outcome.out
    assert re.search(r"^ndcg@10( +0\.\d{4}){4}$", outcome.out, flags=re.MULTILINE)
    assert {trial["state"] for trial in trials(tuner)} == {"completed"}
    blocks = Path("toy.result").read_text().split("\n\n")[:-1]
    assert len(blocks) == 4
    first = blocks[0].splitlines()
    assert first[0] == "finetune.learning_rate:0.01, pretrain_epochs:1"
    assert first[1] == "Valid result:"
    assert first[2].startswith("recall@10 : ")
    assert "    ndcg@10 : " in first[2]
    assert first[3] == "Test result:"

    ended = [trial["ended_at"] for trial in trials(tuner)]
    again = tuner("run", study)
    assert again.code == 0
    assert "toy-study is completed" in again.out
    assert [trial["ended_at"] for trial in trials(tuner)] == ended


def test_flags_in_recbole_style_make_a_study_of_their_own(tuner: Tuner, study: Path) -> None:
    lines = [line.strip() for line in STUDY.splitlines() if line.startswith("  ")]
    Path("more.yaml").write_text("\n".join(lines))
    Path("hyper.test").write_text("pretrain_epochs choice [1, 2]\n")
    arguments = ("--model=S3Rec", "--dataset=toy", "--params_file=hyper.test", "--config_files=more.yaml", "--epochs=1")
    outcome = tuner("run", *arguments, "--max_trials=1")
    assert outcome.code == 0, outcome.err
    (found,) = json.loads(tuner("study", "ls", "--json").out)
    assert found["name"].startswith("S3Rec-toy-")
    assert found["counts"] == {"completed": 1}
    more = tuner("run", *arguments, "--max_trials=2")
    assert more.code == 0, more.err
    (found,) = json.loads(tuner("study", "ls", "--json").out)
    assert found["counts"] == {"completed": 2}


def test_fields_of_study_yaml_may_be_flags(tuner: Tuner, study: Path) -> None:
    assert tuner("run", study, "--target_value=0.0001", "--pruner=median", "--name=other").code == 0
    (found,) = json.loads(tuner("study", "ls", "--json").out)
    assert found["name"] == "other"
    assert "0.0001" in found["reason"]
    assert found["counts"]["completed"] < 4


def test_a_trial_by_hand_lets_an_ended_study_go_on(tuner: Tuner, study: Path) -> None:
    (study / "hyper.test").write_text("finetune.learning_rate loguniform -5,-3\nloss_type choice ['CE', 'BPR']\n")
    assert tuner("run", study, "--sampler=random", "--max_trials=1", "--epochs=1", "--pretrain_epochs=1").code == 0
    refused = tuner("trial", "enqueue", "toy-study", "finetune.learning_rate=0.5", "loss_type=BPR")
    assert refused.code == 2
    assert "Take a number from 0.00673795 to 0.0497871" in refused.err
    assert tuner("trial", "enqueue", "toy-study", "loss_type").code == 2
    done = tuner("trial", "enqueue", "toy-study", "finetune.learning_rate=0.02", "loss_type=BPR")
    assert done.code == 0, done.err
    assert tuner("worker", "--exit-when-idle").code == 0
    trial = json.loads(tuner("trial", "show", "toy-study", "1", "--json").out)
    assert (trial["state"], trial["params"]) == ("completed", {"finetune.learning_rate": 0.02, "loss_type": "BPR"})


def test_another_specification_under_the_same_name_is_refused(tuner: Tuner, study: Path) -> None:
    (study / "hyper.test").write_text("pretrain_epochs choice [1]\n")
    assert tuner("run", study).code == 0
    (study / "hyper.test").write_text(SPACE)
    outcome = tuner("run", study)
    assert outcome.code == 2
    assert "another space" in outcome.err


def test_after_ctrl_c_the_same_command_goes_on_and_repeats_nothing(tuner: Tuner, start: Start, study: Path) -> None:
    text = (study / "study.yaml").read_text()
    (study / "study.yaml").write_text(text.replace("epochs: 8", "epochs: 40\n  stopping_step: 100"))
    process = start("run", study, "--workers=1")
    assert process.stdout is not None
    # What it prints is seen at once, however busy the machine is, and long before three more trials have ended.
    assert any(" completed with " in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert "The same command goes on" in err
    before = [trial for trial in trials(tuner) if trial["state"] == "completed"]
    assert 0 < len(before) < 4
    assert not any(trial["state"] == "running" for trial in trials(tuner))
    assert tuner("run", study, "--workers=1").code == 0
    after = {trial["number"]: trial for trial in trials(tuner)}
    assert {trial["state"] for trial in after.values()} == {"completed"}
    # Nothing of an ended trial changes but whose weights are kept, when a better one comes.
    for trial in before:
        kept = {"weights_bytes": trial["weights_bytes"]}
        assert after[trial["number"]] | kept == trial


def test_ctrl_c_in_the_middle_of_a_transaction_stops_as_cleanly(
    tuner: Tuner, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = snapshot.take

    def interrupted(database: Database, name: str) -> snapshot.Snapshot:
        with database.session() as session:
            session.execute(sa.text("SELECT 1"))
            os.kill(os.getpid(), signal.SIGINT)
        return take(database, name)

    first = iter([take])  # before there is anything to stop
    monkeypatch.setattr(snapshot, "take", lambda *given: next(first, interrupted)(*given))
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    outcome = tuner("run", study, "--workers=1")
    assert outcome.code == 130
    assert "The same command goes on" in outcome.err
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_a_failing_trial_is_shown_with_its_error_and_the_study_goes_on(tuner: Tuner, study: Path) -> None:
    (study / "hyper.test").write_text("pretrain_epochs choice [1]\nfinetune.learning_rate choice [1e30, 0.01]\n")
    outcome = tuner("run", study, "--workers=1")
    assert outcome.code == 0, outcome.err
    states = {trial["params"]["finetune.learning_rate"]: trial for trial in trials(tuner)}
    assert states[0.01]["state"] == "completed"
    assert states[1e30]["state"] == "failed"
    assert states[1e30]["error"]["type"] == "NonFiniteLoss"
    assert "NonFiniteLoss" in outcome.out


def test_the_service_runs_what_is_launched_and_the_client_watches(tuner: Tuner, start: Start, study: Path) -> None:
    process = start("serve", "--port", "0", "--workers", "1")
    try:
        assert process.stdout is not None
        match = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert match is not None
        url = match.group()
        with Client(url) as client:
            until(lambda: answers(client))
        outcome = tuner("launch", study, "--url", url, "--follow")
        assert outcome.code == 0, outcome.err
        assert "toy-study is completed" in outcome.out
        with Client(url) as client:
            last = list(client.watch("toy-study"))[-1]
            assert last.study.best_value is not None
            assert last.study.baseline is not None
            detail = client.get_trial("toy-study", 0)
            assert [(point.stage, point.epoch) for point in detail.curves[:2]] == [("pretrain", 1), ("finetune", 1)]
            with pytest.raises(ApiError, match="There is a study 'toy-study' already"):
                client.create_study(client.get_specification("toy-study"))
            uploaded = client.upload_study(study / "hyper.test", model="S3Rec", dataset="toy", name="second")
            client.act(uploaded.name, "cancel")
            assert client.list_studies().total == 2
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=180)


def test_the_demo_ends_with_0_because_the_model_beats_popularity(start: Start, study: Path) -> None:
    (study / "study.yaml").write_text(STUDY.replace("epochs: 8", "epochs: 20"))
    outputs = []
    for _ in range(2):
        process = start("demo", "--folder", study, "--port", "0", "--exit")
        out, err = process.communicate(timeout=280)
        assert process.returncode == 0, out + err
        outputs.append(out)
    assert "Launched the study toy-study over REST: 4 trials." in outputs[0]
    assert re.search(r"NDCG@10 on test: best 0\.\d+, Popularity 0\.\d+: better\.", outputs[0])
    assert "is here already; this is how it ended" in outputs[1]


def answers(client: Client) -> bool:
    return client.health()["status"] == "ok"


def test_a_sampled_study_is_confirmed_and_replayed_and_begins_another(tuner: Tuner, study: Path) -> None:
    (study / "hyper.test").write_text("finetune.learning_rate loguniform -6,-3\n")
    head = STUDY.replace("epochs: 8", "epochs: 2\n  pretrain_epochs: 1")
    (study / "study.yaml").write_text(head + "sampler: tpe\nmax_trials: 3\nconfirm: {top: 2, seeds: 2}\n")
    outcome = tuner("run", study, "--workers=2")
    assert outcome.code == 0, outcome.err
    assert "Run again with other seeds (4 of 4 runs ended):" in outcome.out
    assert re.search(r"^ *\d +0\.\d{4} ± 0\.\d{4} ", outcome.out, flags=re.MULTILINE)
    assert "on average of 2 seeds" in outcome.out
    assert "Computing time of all epochs" in outcome.out
    shown = tuner("study", "show", "toy-study")
    assert "Run again with other seeds" in shown.out
    (found,) = json.loads(tuner("study", "ls", "--json").out)
    assert found["counts"] == {"completed": 3}
    assert len(found["confirmation"]["sets"]) == 2
    replayed = tuner("study", "replay", "toy-study")
    assert (replayed.code, replayed.out) == (
        0,
        "toy-study: 3 of 3 trials that were asked for get the same parameters.\n",
    )
    (study / "study.yaml").write_text(head + "name: next\nsampler: tpe\nmax_trials: 1\nwarm_start: toy-study\n")
    following = tuner("run", study)
    assert following.code == 0, following.err
    (trial,) = trials(tuner, "next")
    assert trial["number"] == 3
