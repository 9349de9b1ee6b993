"""RecBole's running example with another import: ``from model.quick_start import run_recbole``."""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from model.config import Config, load_config
from model.data import SequentialDataset, load_dataset
from model.definition import ModelDefinition, Stage
from model.errors import CheckpointError, CheckpointNotFound, ConfigError
from model.evaluation import evaluate
from model.registry import get_model
from model.run import EpochReport, RunResult, StageRun, start_run

_log = logging.getLogger(__name__)


def run_recbole(
    model: str | None = None,
    dataset: str | None = None,
    config_file_list: Iterable[str | Path] | None = None,
    config_dict: Mapping[str, Any] | None = None,
    saved: bool = True,
) -> dict[str, Any]:
    """Train one stage of a model and evaluate it, as RecBole's function of that name does.

    ``train_stage`` says which stage of S3Rec: ``pretrain`` writes ``<checkpoint_dir>/S3Rec-<dataset>-<epoch>.pth``
    every ``save_step`` epochs and after the last one; ``finetune`` starts from ``pre_model_path`` (with
    ``pretrain_epochs`` 0 from fresh weights) and keeps the best epoch in a file of its own. Flags of the running script
    (``--learning_rate=0.01``) win over everything else.

    Args:
        model, dataset: names; they may also come from the other sources.
        config_file_list: YAML files, later ones win.
        config_dict: settings, winning over the files.
        saved: whether checkpoints are written.

    Returns:
        ``best_valid_score`` (None for a stage that does not validate), ``valid_score_bigger``,
        ``best_valid_result`` and ``test_result`` (None where there is nothing to evaluate).

    Raises:
        ModelError: a setting, the data or a checkpoint can't be used; the message says what to change.
    """
    config = load_config(
        model, dataset, config_files=config_file_list or (), config_dict=config_dict, command_line=sys.argv[1:]
    )
    console = Console(stderr=True)
    with _logging(config, console):
        definition = get_model(config.model)
        data = load_dataset(config)
        _describe(config, data)
        if not definition.stages:
            result = _evaluate_only(definition, config, data)
        else:
            stage = _stage(definition, config)
            config = config.for_stage(stage.name)
            result = _train(definition, stage, config, data, console, saved=saved)
        _log.info("best valid: %s", result.best_valid_result)
        _log.info("test: %s", result.test_result)
    return {
        "best_valid_score": result.best_valid_score,
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": result.best_valid_result,
        "test_result": result.test_result,
    }


def _train(
    definition: ModelDefinition, stage: Stage, config: Config, data: SequentialDataset, console: Console, *, saved: bool
) -> RunResult:
    run = start_run(definition, stage.name, config, data, initial=_initial(definition, stage, config))
    folder = _writable(Path(config["checkpoint_dir"])) if saved else None
    best = f"{config.model}-{time.strftime('%b-%d-%Y_%H-%M-%S')}-{secrets.token_hex(3)}.pth"
    with _bar(config, console) as bar:
        task = bar.add_task(stage.name, total=run.epochs, epoch=0, loss="", score="")
        while not run.finished:
            done = run.epoch

            def show(fraction: float, loss: float, done: int = done) -> None:
                bar.update(task, completed=done + fraction, epoch=done + 1, loss=f"loss {loss:.4f}")

            report = run.run_epoch(show)
            score = "" if run.best_valid_score is None else f"best {config['valid_metric']} {run.best_valid_score}"
            bar.update(task, loss=f"loss {report.mean_loss:.4f}", score=score)
            _log_epoch(report, config)
            if folder is not None:
                _save(run, report, stage, config, folder, best)
        bar.update(task, completed=run.epochs)
    return run.result()


def _save(run: StageRun, report: EpochReport, stage: Stage, config: Config, folder: Path, best: str) -> None:
    if stage.validates:
        # Without a validation score the last epoch counts as the best.
        due, path = report.improved or (run.finished and run.best_valid_score is None), folder / best
    else:
        due = run.finished or run.epoch % config.get("save_step", 10) == 0
        # RecBole's name, which the first stage has; a later stage must not overwrite what it started from.
        middle = "" if stage is get_model(config.model).stages[0] else f"-{stage.name}"
        path = folder / f"{config.model}-{config.dataset}{middle}-{run.epoch}.pth"
    if due:
        run.save(path)
        _log.info("saved %s", path)


def _evaluate_only(definition: ModelDefinition, config: Config, data: SequentialDataset) -> RunResult:
    model = definition.build(config, data)
    valid, test = evaluate(model, data, "valid", config), evaluate(model, data, "test", config)
    return RunResult(0, valid[config["valid_metric"].lower()] if valid else None, valid, test)


def _stage(definition: ModelDefinition, config: Config) -> Stage:
    """The stage that ``train_stage`` names; models without that key have one stage.

    Raises:
        ConfigError: it is to be trained for no epoch.
    """
    stage = definition.stage(config["train_stage"]) if "train_stage" in config else definition.stages[-1]
    if config[stage.epochs_key] == 0:
        raise ConfigError(
            f"{stage.epochs_key} = 0: there is nothing to train in {stage.name}. Set a number of epochs, or begin with "
            f"a later stage: train_stage: {definition.stages[-1].name}."
        )
    return stage


def _initial(definition: ModelDefinition, stage: Stage, config: Config) -> Path | None:
    """The checkpoint of the stage before, from which a later stage starts."""
    if stage is definition.stages[0]:
        return None
    if not config["pre_model_path"]:
        if all(config[earlier.epochs_key] == 0 for earlier in definition.stages[: definition.stages.index(stage)]):
            return None  # no pretraining is wanted: from fresh weights
        before = definition.stages[definition.stages.index(stage) - 1]
        raise CheckpointNotFound(
            f"pre_model_path is not set: {stage.name} starts from a pretrained model. Run with train_stage: "
            f"{before.name} first and name the file that it writes to {config['checkpoint_dir']}/."
        )
    return Path(config["pre_model_path"])


def _writable(folder: Path) -> Path:
    """The folder, made if need be: better to stop now than after the first epoch."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"checkpoint_dir = {str(folder)!r} can't be made: {error}. Set another one, or saved=False."
        ) from error
    if not os.access(folder, os.W_OK):
        raise CheckpointError(f"checkpoint_dir = {str(folder)!r} can't be written to. Set another one, or saved=False.")
    return folder


def _describe(config: Config, data: SequentialDataset) -> None:
    for key, nearest in config.unknown.items():
        _log.warning("%s is no known setting%s", key, f"; did you mean {nearest}?" if nearest else ".")
    for note in config.notes:
        _log.warning("%s", note)
    for key, reason in get_model(config.model).review(config).items():
        if key in config.given:
            _log.warning("%s has no effect: %s.", key, reason)
    sizes = f"{data.user_num - 1} users, {data.item_num - 1} items"
    samples = f"{len(data.train)} training, {len(data.valid)} valid and {len(data.test)} test samples"
    _log.info("%s on %s: %s, %s", config.model, config.dataset, sizes, samples)


def _log_epoch(report: EpochReport, config: Config) -> None:
    score = "" if report.valid_score is None else f", {config['valid_metric']} {report.valid_score}"
    decimals = config["loss_decimal_place"]
    loss, seconds = f"{report.loss:.{decimals}f}", f"{report.seconds:.2f}"
    _log.info("%s epoch %d: loss %s%s, %s s", report.stage, report.epoch, loss, score, seconds)
    if report.advice:
        _log.info(report.advice)


def _bar(config: Config, console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("epoch {task.fields[epoch]}/{task.total:.0f} {task.fields[loss]} {task.fields[score]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not config["show_progress"],
    )


@contextmanager
def _logging(config: Config, console: Console) -> Iterator[None]:
    """Show the log on the terminal, unless the program that calls us has its own handlers."""
    level = logging.getLevelName(str(config["state"]).upper())
    if not isinstance(level, int):
        raise ConfigError(f"state = {config['state']!r}: use DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    logger = logging.getLogger("model")
    handler = None if logger.hasHandlers() else RichHandler(console=console, show_path=False)
    before = logger.level
    logger.setLevel(level)
    if handler is not None:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(before)
        if handler is not None:
            logger.removeHandler(handler)
