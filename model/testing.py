"""What every model must hold, as tests that authors of models take over.

A test module of a model's own subclasses :class:`ModelContract` and names the model; pytest finds the rest:

    from model.testing import ModelContract

    class TestMyModel(ModelContract):
        model = "MyModel"
        settings = {"hidden_size": 16}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from model.config import Config, load_config
from model.data import SequentialDataset, load_dataset, synthetic
from model.definition import ModelDefinition, Stage, stage_key
from model.parameters import ANY_STAGE
from model.recommender import Recommender
from model.registry import get_model, parameters_of
from model.run import StageRun, start_run

_DATASET = "synthetic"
# Enough for a stage to be stopped in its middle.
_EPOCHS = 4


class ModelContract:
    """Tests of one registered model on a small made-up data set.

    Attributes:
        model: its name.
        settings: what makes it small; the number of epochs is set by the tests.
        tolerance: how far two ways to one score may lie apart, relative to the largest score.
    """

    model: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    tolerance: ClassVar[float] = 1e-5

    def test_the_declaration_fits_itself(self) -> None:
        """Stages have names of their own and an epochs key that is known; parameters shape stages that exist."""
        definition, schema = get_model(self.model), parameters_of(self.model)
        names = [stage.name for stage in definition.stages]
        assert len(names) == len(set(names))
        for stage in definition.stages:
            assert stage.epochs_key in schema
            assert schema[stage.epochs_key].kind == "int"
        for parameter in definition.parameters:
            assert parameter.stages <= {*names, ANY_STAGE}, parameter.name
            assert parameter.default is None or parameter.check(parameter.default) == parameter.default
            assert parameter.doc

    def test_fresh_weights_are_a_function_of_the_seed(self, tmp_path: Path) -> None:
        """Two builds of one seed agree to the bit, and torch's global generator is left alone."""
        config, dataset = self._prepared(tmp_path)
        before = torch.get_rng_state()
        one, two = self._build(config, dataset), self._build(config, dataset)
        assert torch.equal(before, torch.get_rng_state())
        assert _same(one.state_dict(), two.state_dict())
        if self._definition.stages:
            other = self._build(config.replace({"seed": config["seed"] + 1}), dataset)
            assert not _same(one.state_dict(), other.state_dict())

    def test_a_score_is_its_column_of_all_scores(self, tmp_path: Path) -> None:
        """Ranking a few candidates and ranking all is one model."""
        config, dataset = self._prepared(tmp_path)
        model = self._build(config, dataset).eval()
        histories, lengths = _histories(dataset, config)
        generator = torch.Generator().manual_seed(1)
        candidates = torch.randint(1, dataset.item_num, (len(histories), 7), generator=generator)
        with torch.no_grad():
            every, some = model.score_all(histories, lengths), model.score(histories, lengths, candidates)
        assert every.shape == (len(histories), dataset.item_num)
        assert some.shape == candidates.shape
        self._close(some, every.gather(1, candidates))

    def test_scores_are_finite_and_each_historys_own(self, tmp_path: Path) -> None:
        """Whatever its length, and whoever else is in the batch, padding included."""
        config, dataset = self._prepared(tmp_path)
        model = self._build(config, dataset).eval()
        histories, lengths = _histories(dataset, config)
        assert lengths.min() < lengths.max()
        with torch.no_grad():
            together = model.score_all(histories, lengths)[:, 1:]
            alone = torch.cat(
                [
                    model.score_all(histories[row : row + 1, : int(length)], lengths[row : row + 1])[:, 1:]
                    for row, length in enumerate(lengths)
                ]
            )
        assert together.isfinite().all()
        self._close(alone, together)

    def test_a_run_that_was_resumed_has_the_bits_of_one_that_was_not(self, tmp_path: Path) -> None:
        """Weights, optimizer and what is remembered of the best epoch."""
        config, dataset = self._prepared(tmp_path)
        for stage in self._definition.stages:
            straight = self._start(stage, config, dataset)
            _run_to(straight, _EPOCHS // 2)
            straight.save(tmp_path / f"{stage.name}-half.pth")
            _run_to(straight, _EPOCHS)
            resumed = self._start(stage, config, dataset)
            resumed.resume(tmp_path / f"{stage.name}-half.pth")
            _run_to(resumed, _EPOCHS)
            contents = []
            for name, run in (("straight", straight), ("resumed", resumed)):
                run.save(tmp_path / f"{stage.name}-{name}.pth")
                contents.append(torch.load(tmp_path / f"{stage.name}-{name}.pth", weights_only=True))
            assert _same(*contents), stage.name
            assert straight.result() == resumed.result()

    def test_a_shorter_run_is_the_beginning_of_a_longer_one(self, tmp_path: Path) -> None:
        """So that trials with different numbers of epochs share a stage, and its identity leaves the number out."""
        config, dataset = self._prepared(tmp_path)
        for stage in self._definition.stages:
            longer = self._start(stage, config, dataset)
            _run_to(longer, _EPOCHS // 2)
            short = config.replace({stage.epochs_key: _EPOCHS // 2})
            shorter = self._start(stage, short, dataset)
            _run_to(shorter, _EPOCHS // 2)
            assert shorter.finished
            assert _same(longer.model.state_dict(), shorter.model.state_dict()), stage.name
            assert self._key(stage, config, dataset) == self._key(stage, short, dataset)
            reseeded = config.replace({"seed": config["seed"] + 1})
            assert self._key(stage, config, dataset) != self._key(stage, reseeded, dataset)

    @property
    def _definition(self) -> ModelDefinition:
        return get_model(self.model)

    def _prepared(self, folder: Path) -> tuple[Config, SequentialDataset]:
        synthetic.write(folder, _DATASET, users=40, items=24, classes=4, events=8, seed=3)
        given = {"data_path": str(folder), "MAX_ITEM_LIST_LENGTH": 8, "train_batch_size": 128, "use_gpu": False}
        epochs = {stage.epochs_key: _EPOCHS for stage in self._definition.stages}
        config = load_config(self.model, _DATASET, config_dict={**given, **epochs, **self.settings})
        return config, load_dataset(config)

    def _build(self, config: Config, dataset: SequentialDataset) -> Recommender:
        return self._definition.build(config, dataset)

    def _start(self, stage: Stage, config: Config, dataset: SequentialDataset) -> StageRun:
        return start_run(self._definition, stage.name, config.for_stage(stage.name), dataset)

    def _key(self, stage: Stage, config: Config, dataset: SequentialDataset) -> str:
        schema = parameters_of(self.model)
        return stage_key(self._definition, stage, config.for_stage(stage.name), dataset.fingerprint, schema)

    def _close(self, one: Tensor, other: Tensor) -> None:
        largest = max(1.0, float(other.abs().max()))
        assert float((one - other).abs().max()) <= self.tolerance * largest


def _histories(dataset: SequentialDataset, config: Config) -> tuple[Tensor, Tensor]:
    """Some histories of the training split, of all lengths: int64 [B, L] and int64 [B]."""
    rows = torch.arange(0, len(dataset.train), max(1, len(dataset.train) // 24))
    samples = dataset.train.select(rows)
    padded = samples.padded(torch.arange(len(samples)), config["MAX_ITEM_LIST_LENGTH"])
    return padded, samples.length.clamp(max=config["MAX_ITEM_LIST_LENGTH"])


def _run_to(run: StageRun, epoch: int) -> None:
    while run.epoch < epoch:
        run.run_epoch()


def _same(one: Any, other: Any) -> bool:
    """Equality to the last bit, through containers."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
