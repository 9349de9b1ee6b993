"""Stages as runs that stop and go on: contract 6.2, 6.3 and the resume guarantee."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.checkpoint import load_checkpoint
from model.config import Config
from model.data import SequentialDataset, load_dataset
from model.errors import CheckpointError, CheckpointMismatch, NonFiniteLoss, TrainingError
from model.registry import get_model
from model.run import StageRun, start_run
from model.s3rec.objectives import FinetuneObjective, PretrainObjective

MakeConfig = Callable[..., Config]

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "pretrain": ("pretrain", {"pretrain_epochs": 4}),
    "finetune CE": ("finetune", {"epochs": 4, "weight_decay": 0.01}),
    "finetune BPR": ("finetune", {"epochs": 4, "loss_type": "BPR", "eval_args": {"mode": "uni5"}}),
}

# Continues every case of the folder in a process that has seen nothing of the first half.
CONTINUE = """
import json, sys
from pathlib import Path
import torch
from model.config import Config
from model.data import load_dataset
from model.registry import get_model
from model.run import start_run

torch.set_num_threads(1)
folder = Path(sys.argv[1])
for name, (stage, given) in json.loads((folder / "cases.json").read_text()).items():
    config = Config("S3Rec", "synthetic", given)
    run = start_run(get_model("S3Rec"), stage, config, load_dataset(config))
    run.resume(folder / f"{name}-half.pth")
    while not run.finished:
        run.run_epoch()
    run.save(folder / f"{name}-resumed.pth")
    (folder / f"{name}.json").write_text(json.dumps(run.result().__dict__))
"""


def begin(config: Config, dataset: SequentialDataset, stage: str, **options: Any) -> StageRun:
    return start_run(get_model("S3Rec"), stage, config.for_stage(stage), dataset, **options)


def same(one: Any, other: Any) -> bool:
    """Equality to the last bit, through containers."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def test_a_run_that_is_resumed_in_another_process_ends_with_the_same_bits(
    small_config: MakeConfig, small_dataset: SequentialDataset, tmp_path: Path
) -> None:
    settings = {}
    straight = {}
    for name, (stage, changes) in CASES.items():
        config = small_config(**changes).for_stage(stage)
        settings[name] = (stage, config.given)
        run = start_run(get_model("S3Rec"), stage, config, small_dataset)
        while not run.finished:
            run.run_epoch()
            if run.epoch == 2:
                run.save(tmp_path / f"{name}-half.pth")
        assert run.epoch == 4
        run.save(tmp_path / f"{name}-straight.pth")
        straight[name] = run.result().__dict__
    (tmp_path / "cases.json").write_text(json.dumps(settings))
    subprocess.run([sys.executable, "-c", CONTINUE, str(tmp_path)], check=True, timeout=240)
    for name in CASES:
        assert json.loads((tmp_path / f"{name}.json").read_text()) == straight[name]
        files = (tmp_path / f"{name}-{half}.pth" for half in ("straight", "resumed"))
        one, other = (torch.load(path, weights_only=True) for path in files)
        assert same(one, other), name
        half = torch.load(tmp_path / f"{name}-half.pth", weights_only=True)
        assert not same(one["state_dict"], half["state_dict"])


def test_an_epoch_that_is_interrupted_can_be_repeated_from_the_last_save(
    small_config: MakeConfig, small_dataset: SequentialDataset, tmp_path: Path
) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(fraction: float, loss: float) -> None:
        if fraction > 0.5:
            raise Interrupted

    run, straight = (begin(small_config(), small_dataset, "finetune") for _ in range(2))
    run.run_epoch()
    run.save(tmp_path / "one.pth")
    with pytest.raises(Interrupted):
        run.run_epoch(interrupt)
    for use in (run.run_epoch, run.result, lambda: run.save(tmp_path / "two.pth")):
        with pytest.raises(TrainingError, match="was abandoned"):
            use()
    assert not (tmp_path / "two.pth").exists()
    run.resume(tmp_path / "one.pth")
    reports = [run.run_epoch(), run.run_epoch()]
    expected = [straight.run_epoch() for _ in range(3)][1:]
    assert [(r.loss, r.valid_result) for r in reports] == [(r.loss, r.valid_result) for r in expected]
    assert same(run.model.state_dict(), straight.model.state_dict())


def test_a_validation_or_test_that_is_interrupted_can_be_repeated_from_the_last_save(
    small_config: MakeConfig, small_dataset: SequentialDataset, tmp_path: Path
) -> None:
    class Interrupted(Exception):
        pass

    def interrupt() -> None:
        if run.epoch == 2:  # trained, and not yet validated
            raise Interrupted

    run, straight = (begin(small_config(epochs=2), small_dataset, "finetune") for _ in range(2))
    run.run_epoch()
    run.save(tmp_path / "one.pth")
    with pytest.raises(Interrupted):
        run.run_epoch(check=interrupt)
    with pytest.raises(TrainingError, match="was abandoned"):
        run.save(tmp_path / "two.pth")
    run.resume(tmp_path / "one.pth")
    run.run_epoch()
    run.save(tmp_path / "two.pth")
    with pytest.raises(Interrupted):
        run.result(interrupt)
    with pytest.raises(TrainingError, match="was abandoned"):
        run.save(tmp_path / "three.pth")  # its weights may be another epoch's now
    run.resume(tmp_path / "two.pth")
    straight.run_epoch()
    straight.run_epoch()
    assert run.result() == straight.result()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_a_batch_can_be_interrupted_between_two_of_its_parts(
    small_config: MakeConfig,
    small_dataset: SequentialDataset,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    threads: int,
) -> None:
    class Interrupted(Exception):
        pass

    checked: list[int] = []

    def interrupt() -> None:
        checked.append(1)
        if len(checked) > 2:
            raise Interrupted

    for objective in (PretrainObjective, FinetuneObjective):
        monkeypatch.setattr(objective, "tokens", 50)
    torch.set_num_threads(threads)
    run = begin(small_config(train_batch_size=100_000), small_dataset, stage)
    with pytest.raises(Interrupted):
        run.run_epoch(lambda *_: pytest.fail("the batch came to its end"), interrupt)
    assert 3 <= len(checked) <= 2 + threads
    with pytest.raises(TrainingError, match="was abandoned"):
        run.run_epoch()


def test_progress_is_told_after_every_batch(small_config: MakeConfig, small_dataset: SequentialDataset) -> None:
    seen: list[tuple[float, float]] = []
    report = begin(small_config(), small_dataset, "finetune").run_epoch(lambda *step: seen.append(step))
    fractions, losses = zip(*seen, strict=True)
    batches = -(-len(small_dataset.train) // 128)
    assert fractions == pytest.approx([(batch + 1) / batches for batch in range(batches)])
    assert losses[-1] == report.mean_loss
    # The last batch is smaller than the others: only the mean over samples is the loss of a sample.
    assert report.mean_loss != pytest.approx(report.loss / batches, rel=1e-9)


@pytest.mark.parametrize(("stage", "given"), CASES.values(), ids=CASES)
def test_the_mean_loss_of_an_epoch_is_its_samples_mean(
    small_config: MakeConfig, small_dataset: SequentialDataset, stage: str, given: dict[str, Any]
) -> None:
    run = begin(small_config(**given), small_dataset, stage)
    batches: list[tuple[float, int]] = []
    backward = run._objective.backward

    def noted(rows: Tensor) -> Tensor:
        loss = backward(rows)
        batches.append((float(loss), len(rows)))
        return loss

    run._objective.backward = noted  # type: ignore[method-assign]
    report = run.run_epoch()
    sums = [loss if stage == "pretrain" else loss * size for loss, size in batches]
    assert len({size for _, size in batches}) > 1
    assert report.mean_loss == pytest.approx(sum(sums) / len(small_dataset.train), rel=1e-12)
    assert report.loss == pytest.approx(sum(loss for loss, _ in batches), rel=1e-6)


def test_reports_and_result_name_the_best_epoch(small_config: MakeConfig, small_dataset: SequentialDataset) -> None:
    run = begin(small_config(epochs=6, learning_rate=0.05), small_dataset, "finetune")
    reports = []
    while not run.finished:
        reports.append(run.run_epoch())
    scores = [report.valid_score for report in reports]
    best = max(range(len(scores)), key=lambda index: (scores[index], index))
    result = run.result()
    assert (result.best_epoch, result.best_valid_score) == (best + 1, scores[best])
    assert result.best_valid_result == reports[best].valid_result
    assert result.test_result is not None
    assert [report.epoch for report in reports] == list(range(1, 7))


def test_the_test_is_made_with_the_best_epochs_weights_and_changes_nothing(
    small_config: MakeConfig, small_dataset: SequentialDataset, tmp_path: Path
) -> None:
    # The learning rate is high enough to get worse; stopping happens two validations after the best.
    config = small_config(epochs=40, learning_rate=0.3, stopping_step=1, train_batch_size=64)
    run = begin(config, small_dataset, "finetune")
    while not run.finished:
        run.run_epoch()
    assert run.best_epoch == run.epoch - 2
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    result = run.result()
    assert same(before, run.model.state_dict())
    run.save(tmp_path / "best.pth", best=True)
    best = load_checkpoint(tmp_path / "best.pth")
    assert best["epoch"] == run.best_epoch - 1
    assert not same(best["state_dict"], before)
    assert (best["cur_step"], best["best_valid_score"]) == (0, result.best_valid_score)
    assert best["rectuner"]["best_valid_result"] == result.best_valid_result
    assert best["optimizer"]["state"] == {}
    # Whoever begins from the state of a run begins from its best epoch, too.
    run.save(tmp_path / "state.pth")
    for name in ("best.pth", "state.pth"):
        again = begin(config, small_dataset, "finetune", initial=tmp_path / name)
        assert again.result().test_result == result.test_result
    with pytest.raises(CheckpointMismatch, match="not the state of a run"):
        again.resume(tmp_path / "best.pth")


@pytest.mark.parametrize("eval_step", [0, -1])
def test_without_validation_the_last_epoch_counts(
    small_config: MakeConfig, small_dataset: SequentialDataset, eval_step: int
) -> None:
    run = begin(small_config(epochs=2, eval_step=eval_step), small_dataset, "finetune")
    reports = [run.run_epoch(), run.run_epoch()]
    assert [report.valid_score for report in reports] == [None, None]
    result = run.result()
    assert (result.best_epoch, result.best_valid_score, result.best_valid_result) == (2, None, None)
    assert result.test_result is not None


def test_validation_happens_every_eval_step_epochs_which_are_at_most_all(
    small_config: MakeConfig, small_dataset: SequentialDataset
) -> None:
    for eval_step, validated in ((2, [False, True, False]), (50, [False, False, True])):
        run = begin(small_config(epochs=3, eval_step=eval_step), small_dataset, "finetune")
        assert [run.run_epoch().valid_score is not None for _ in range(3)] == validated


def test_pretraining_does_not_validate_and_tests_the_last_weights(
    small_config: MakeConfig, small_dataset: SequentialDataset
) -> None:
    run = begin(small_config(), small_dataset, "pretrain")
    assert run.run_epoch().valid_result is None
    result = run.result()
    assert (result.best_epoch, result.best_valid_score, result.best_valid_result) == (1, None, None)
    assert result.test_result is not None


def test_a_longer_run_continues_a_shorter_one(
    small_config: MakeConfig, small_dataset: SequentialDataset, tmp_path: Path
) -> None:
    short = begin(small_config(pretrain_epochs=1), small_dataset, "pretrain")
    short.run_epoch()
    short.save(tmp_path / "1.pth")
    longer, straight = (begin(small_config(pretrain_epochs=2), small_dataset, "pretrain") for _ in range(2))
    longer.resume(tmp_path / "1.pth")
    longer.run_epoch()
    straight.run_epoch()
    straight.run_epoch()
    assert same(longer.model.state_dict(), straight.model.state_dict())
    longer.save(tmp_path / "2.pth")
    with pytest.raises(CheckpointMismatch, match=r"2 epochs long, this run wants 1 \(pretrain_epochs\)"):
        short.resume(tmp_path / "2.pth")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_rate": 0.5}, r"learning_rate \(0\.005 there, 0\.5 here\)"),
        ({"seed": 1}, r"seed \(2020 there, 1 here\)"),
        ({"valid_metric": "NDCG@10"}, r"measured as .*MRR@10.*NDCG@10"),
        ({"user_inter_num_interval": "[2,inf)"}, r"user_inter_num_interval \('\[0,inf\)' there, '\[2,inf\)' here\)"),
    ],
)
def test_another_runs_state_is_refused_with_the_difference(
    small_config: MakeConfig, small_dataset: SequentialDataset, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    begin(small_config(), small_dataset, "finetune").save(tmp_path / "one.pth")
    config = small_config(**changes)
    with pytest.raises(CheckpointMismatch, match=words):
        begin(config, load_dataset(config), "finetune").resume(tmp_path / "one.pth")


def _without(content: dict[str, Any], *keys: Any) -> None:
    *above, last = keys
    for key in above:
        content = content[key]
    del content[last]


def _put(content: dict[str, Any], value: Any, *keys: Any) -> None:
    *above, last = keys
    for key in above:
        content = content[key]
    content[last] = value


WRONG: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no epoch": (lambda content: _without(content, "epoch"), "epoch is missing"),
    "an epoch in words": (lambda content: _put(content, "two", "epoch"), "epoch is 'two'"),
    "no patience": (lambda content: _without(content, "cur_step"), "cur_step is missing"),
    "a score in words": (lambda content: _put(content, "good", "best_valid_score"), "best_valid_score is 'good'"),
    "no best epoch": (lambda content: _without(content, "rectuner", "best_epoch"), "best_epoch is missing"),
    "no best score": (lambda content: _without(content, "best_valid_score"), "best_valid_score is missing"),
    "no best result": (lambda content: _without(content, "rectuner", "best_valid_result"), "result is missing"),
    "no best weights": (lambda content: _without(content, "rectuner", "best_weights"), "best_weights is missing"),
    "an optimizer in words": (lambda content: _put(content, "adam", "optimizer"), "state is no mapping"),
    "a best epoch to come": (lambda content: _put(content, 9, "rectuner", "best_epoch"), "best_epoch is 9"),
    "another best epoch": (lambda content: _put(content, 1, "rectuner", "best_epoch"), "best epoch, 1, are missing"),
    "no stage": (lambda content: _without(content, "rectuner", "stage"), "belongs to another run"),
    "no section": (lambda content: _without(content, "rectuner"), "not the state of a run"),
    "a section in words": (lambda content: _put(content, "mine", "rectuner"), "rectuner is no mapping"),
    "no protocol": (lambda content: _without(content, "rectuner", "protocol"), "was measured as None"),
    "no optimizer": (lambda content: _without(content, "optimizer"), "optimizer is missing"),
    "an empty optimizer": (lambda content: _put(content, {}, "optimizer", "state"), "optimizer's state is empty"),
    "a parameter too many": (
        lambda content: _put(content, content["optimizer"]["state"][0], "optimizer", "state", 999),
        "has a parameter 999",
    ),
    "a moment less": (
        lambda content: _without(content, "optimizer", "state", 0, "exp_avg"),
        "of parameter 0 is incomplete",
    ),
    "a moment of another shape": (
        lambda content: _put(content, torch.ones(3), "optimizer", "state", 0, "exp_avg_sq"),
        "of parameter 0 has another shape",
    ),
    "another optimizer": (
        lambda content: _without(content, "optimizer", "param_groups", 0, "betas"),
        "that of another optimizer",
    ),
    "a tensor less": (lambda content: _without(content, "state_dict", "LayerNorm.weight"), "missing in the checkpoint"),
    "best weights of another": (
        lambda content: _put(content, {"w": torch.ones(1)}, "rectuner", "best_weights"),
        "best_weights are not of the model",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_state_with_wrong_or_missing_parts_is_refused_with_the_part(
    small_config: MakeConfig, small_dataset: SequentialDataset, tmp_path: Path, case: str
) -> None:
    change, words = WRONG[case]
    run = begin(small_config(epochs=4), small_dataset, "finetune")
    for _ in range(2):
        run.run_epoch()
    run.best_epoch = run.epoch  # its weights are the last ones, and not in the file twice
    run.save(tmp_path / "two.pth")
    content = torch.load(tmp_path / "two.pth", weights_only=True)
    change(content)
    torch.save(content, tmp_path / "two.pth")
    with pytest.raises(CheckpointError, match=rf"two\.pth: .*{words}"):
        begin(small_config(epochs=4), small_dataset, "finetune").resume(tmp_path / "two.pth")


@pytest.mark.parametrize("learner", ["adam", "adamw", "sgd", "adagrad", "rmsprop"])
def test_the_state_of_every_optimizer_is_gone_on_from(
    small_config: MakeConfig, small_dataset: SequentialDataset, tmp_path: Path, learner: str
) -> None:
    config = small_config(epochs=2, learner=learner)
    run = begin(config, small_dataset, "finetune")
    for epoch in range(2):  # at the beginning there is no state yet
        run.save(tmp_path / "state.pth")
        again = begin(config, small_dataset, "finetune")
        again.resume(tmp_path / "state.pth")
        assert again.epoch == epoch
        run.run_epoch()


def test_diverging_training_is_an_error(small_config: MakeConfig, small_dataset: SequentialDataset) -> None:
    run = begin(small_config(learning_rate=1e30, learner="sgd"), small_dataset, "finetune")
    with pytest.raises(NonFiniteLoss, match="Lower learning_rate"):
        run.run_epoch()
