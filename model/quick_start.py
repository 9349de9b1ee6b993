"""RecBole's entry point: run one stage of a model from a few settings.

The documented S3Rec example runs as it stands with only the import changed::

    from model.quick_start import run_recbole

    run_recbole(model="S3Rec", dataset="ml-100k", config_dict={"train_stage": "pretrain", "save_step": 10})
    run_recbole(model="S3Rec", dataset="ml-100k", config_dict={
        "train_stage": "finetune", "pre_model_path": "./saved/S3Rec-ml-100k-100.pth", "train_neg_sample_args": None})
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model.config import Config, load_config
from model.data import load_dataset
from model.errors import ConfigError
from model.recommender import ModelDefinition, Stage
from model.registry import get_model
from model.run import EpochReport, StageRun, start_run

_log = logging.getLogger(__name__)

OnEpoch = Callable[[EpochReport], None]


def run_recbole(
    model: str | None = None,
    dataset: str | None = None,
    config_file_list: Sequence[str | Path] | None = None,
    config_dict: Mapping[str, Any] | None = None,
    saved: bool = True,
) -> dict[str, Any]:
    """Train and evaluate as RecBole's function of this name does.

    ``--key=value`` arguments of the running program count too and win, as in RecBole. With ``train_stage: pretrain``
    the model is pretrained, and ``<checkpoint_dir>/<model>-<dataset>-<epoch>.pth`` is written every ``save_step``
    epochs and after the last one. Otherwise it is trained (from ``pre_model_path`` if the model pretrains), validated
    and tested, and its best weights are written under a name of their own.

    Args:
        saved: whether to write checkpoints.

    Returns:
        ``best_valid_score``, ``valid_score_bigger``, ``best_valid_result`` and ``test_result``; the scores are None
        after pretraining, which measures nothing.

    Raises:
        ModelError: the configuration, the data or the checkpoint can't be used; the message says what to change.
    """
    config = load_config(
        model, dataset, config_files=config_file_list or (), config_dict=config_dict, command_line=sys.argv[1:]
    )
    for key, nearest in config.unknown.items():
        _log.warning(
            "%s is no known setting%s; it has no effect.", key, f", did you mean {nearest}?" if nearest else ""
        )
    definition = get_model(config.model)
    stage = _stage_of(definition, config)
    config = config.for_stage(stage.name)
    data = load_dataset(config)
    run = start_run(definition, stage.name, config, data, initial=_initial(definition, stage, config))
    with _progress(config, run) as on_epoch:
        _train(run, stage, config, on_epoch, saved=saved)
    result = run.result()
    if saved and stage.validates:
        _log.info("Best weights: %s", _save_best(run, config))
    return {
        "best_valid_score": result.best_valid_score,
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": result.best_valid_result,
        "test_result": result.test_result,
    }


def _stage_of(definition: ModelDefinition, config: Config) -> Stage:
    if not definition.stages:
        raise ConfigError(f"model = {definition.name!r}: it has nothing to train.")
    return definition.stage(config["train_stage"]) if "train_stage" in config else definition.stages[-1]


def _initial(definition: ModelDefinition, stage: Stage, config: Config) -> Path | None:
    if stage is definition.stages[0]:
        return None
    if not config["pre_model_path"]:
        raise ConfigError(
            f"pre_model_path is not set: {stage.name} starts from a checkpoint of {definition.stages[0].name}. Run "
            f"train_stage: {definition.stages[0].name} first, then give its file."
        )
    return Path(config["pre_model_path"])


def _train(run: StageRun, stage: Stage, config: Config, on_epoch: OnEpoch, *, saved: bool) -> None:
    while not run.finished:
        report = run.run_epoch()
        on_epoch(report)
        due = report.epoch % config.get("save_step", 1) == 0 or run.finished
        if saved and due and not stage.validates:
            name = f"{config.model}-{config.dataset}-{report.epoch}.pth"
            run.save(Path(config["checkpoint_dir"]) / name)


def _save_best(run: StageRun, config: Config) -> Path:
    folder = Path(config["checkpoint_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    # RecBole names the file by the second, so that runs which start together overwrite each other.
    handle, name = tempfile.mkstemp(prefix=f"{config.model}-{config.dataset}-{run.stage}-", suffix=".pth", dir=folder)
    os.close(handle)
    run.save(Path(name), best=True)
    return Path(name)


@contextmanager
def _progress(config: Config, run: StageRun) -> Iterator[OnEpoch]:
    """A bar with epochs, loss, validation score and time left on a terminal, a log line per epoch anywhere."""
    metric, decimals = config["valid_metric"], config["loss_decimal_place"]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}"))
    shown = config["show_progress"] and sys.stderr.isatty()
    with Progress(*columns, TimeRemainingColumn(), disable=not shown) as bar:
        task = bar.add_task(f"{config.model} {run.stage}", total=run.epochs, completed=run.epoch, state="")

        def on_epoch(report: EpochReport) -> None:
            state = f"loss {report.loss:.{decimals}f}"
            if report.valid_score is not None:
                state += f"  {metric} {report.valid_score} (best {run.best_valid_score})"
            bar.update(task, completed=report.epoch, state=state)
            _log.info("%s epoch %d/%d: %s, %.1f s", run.stage, report.epoch, run.epochs, state, report.seconds)

        yield on_epoch
