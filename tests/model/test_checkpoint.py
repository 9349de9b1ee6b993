"""Checkpoints: contract 6.3, read safely and written whole."""

from __future__ import annotations

import errno
import os
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
import torch

from model.checkpoint import load_checkpoint, load_weights, save_checkpoint
from model.config import Config
from model.conversion import convert_checkpoint
from model.data import SequentialDataset, load_dataset, synthetic
from model.errors import CheckpointError, CheckpointMismatch, CheckpointNotFound, CheckpointUnreadable
from model.foreign import Inert
from model.registry import get_model
from model.run import StageRun, start_run

MakeConfig = Callable[..., Config]


def pretrained(config: Config, dataset: SequentialDataset, path: Path) -> StageRun:
    """A pretraining run of no epoch, saved."""
    run = start_run(get_model("S3Rec"), "pretrain", config.for_stage("pretrain"), dataset)
    run.save(path)
    return run


def test_a_checkpoint_loads_with_weights_only_and_has_recboles_keys(
    small_config: MakeConfig, small_dataset: SequentialDataset, tmp_path: Path
) -> None:
    path = tmp_path / "made" / "here.pth"
    run = pretrained(small_config(), small_dataset, path)
    content = torch.load(path, weights_only=True)
    assert set(content) == {
        *("config", "epoch", "cur_step", "best_valid_score", "state_dict", "other_parameter", "optimizer", "rectuner")
    }
    assert content["config"]["dataset"] == "synthetic"
    assert list(content["state_dict"]) == list(run.model.state_dict())


def test_a_failing_save_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    save_checkpoint(path, {"state_dict": {"w": torch.ones(2)}})
    before = path.read_bytes()
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        save_checkpoint(path, {"state_dict": {"w": torch.zeros(2)}, "config": lambda: None})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_file_is_named_with_the_ones_beside_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "S3Rec-toy-50.pth", {"state_dict": {}})
    with pytest.raises(CheckpointNotFound, match=r"S3Rec-toy-100\.pth: there is no checkpoint.*S3Rec-toy-50\.pth"):
        load_checkpoint(tmp_path / "S3Rec-toy-100.pth")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"hello", "no checkpoint that torch.save wrote, but a text that begins with b'hello'"),
        (b"\x89PNG\r\n\x1a\n", "no checkpoint that torch.save wrote, but something else that begins with"),
        (pickle.dumps({"state_dict": {}}), "no checkpoint that torch.save wrote"),
        (b"PK\x03\x04 cut off", "is cut off"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"broken\.pth: .*{words}"):
        load_checkpoint(path)


def test_a_folder_is_no_checkpoint_and_says_what_is_in_it(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "one.pth", {"state_dict": {}})
    with pytest.raises(CheckpointError, match=r"is a folder \(in that folder: one\.pth\)"):
        load_checkpoint(tmp_path)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.pth"
    save_checkpoint(path, {"state_dict": {}})
    for error, kind in ((errno.EACCES, CheckpointUnreadable), (errno.EIO, CheckpointError)):

        def refuse(*_: Any, error: int = error) -> Any:
            raise OSError(error, os.strerror(error))

        with monkeypatch.context() as patch:
            patch.setattr(Path, "open", refuse)
            with pytest.raises(CheckpointError, match=r"one\.pth: can't be read") as raised:
                load_checkpoint(path)
        assert type(raised.value) is kind  # a disk's own error is damage, the other may pass


def test_a_flipped_bit_is_noticed_though_torch_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "flipped.pth"
    save_checkpoint(path, {"state_dict": {"w": torch.ones(1000)}})
    content = bytearray(path.read_bytes())
    content[content.index(torch.ones(1000).numpy().tobytes()) + 2000] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path, weights_only=True)["state_dict"]["w"], torch.ones(1000))
    with pytest.raises(CheckpointError, match=r"flipped\.pth: is damaged: archive/data/0 is not what was written"):
        load_checkpoint(path)


def test_a_cut_off_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    save_checkpoint(path, {"state_dict": {"w": torch.ones(1000)}})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=r"cut\.pth"):
        load_checkpoint(path)


def test_a_file_without_weights_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"something": 1}, path)
    with pytest.raises(CheckpointError, match=r"other\.pth: has no state_dict"):
        load_checkpoint(path)


def test_another_data_set_is_named_with_ours(
    small_config: MakeConfig, small_dataset: SequentialDataset, tmp_path: Path
) -> None:
    pretrained(small_config(), small_dataset, tmp_path / "one.pth")
    synthetic.write(tmp_path, "films", users=80, items=30, events=10, seed=7)
    config = Config("S3Rec", "films", {**small_config().given, "data_path": str(tmp_path)})
    with pytest.raises(CheckpointMismatch, match=r"one\.pth: was made for data set 'synthetic'.*'films'"):
        start_run(
            get_model("S3Rec"),
            "finetune",
            config.for_stage("finetune"),
            load_dataset(config),
            initial=tmp_path / "one.pth",
        )


def test_other_items_under_the_same_name_are_noticed(
    small_config: MakeConfig, small_dataset: SequentialDataset, tmp_path: Path
) -> None:
    pretrained(small_config(), small_dataset, tmp_path / "one.pth")
    synthetic.write(tmp_path, "synthetic", users=80, items=30, events=10, seed=7)
    config = small_config(data_path=str(tmp_path))
    with pytest.raises(CheckpointMismatch, match="other items of 'synthetic'"):
        start_run(
            get_model("S3Rec"),
            "finetune",
            config.for_stage("finetune"),
            load_dataset(config),
            initial=tmp_path / "one.pth",
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": 8}, r"item_embedding\.weight is \(32, 16\).*\(32, 8\).*hidden_size is 16 there and 8 here"),
        ({"MAX_ITEM_LIST_LENGTH": 5}, r"position_embedding\.weight.*MAX_ITEM_LIST_LENGTH is 10 there and 5 here"),
        ({"inner_size": 8}, r"dense_1\.weight.*inner_size is 32 there and 8 here"),
        ({"n_layers": 2}, r"layer\.1.*is missing in the checkpoint.*n_layers is 1 there and 2 here"),
    ],
)
def test_another_shape_is_named_with_its_key_and_both_values(
    small_config: MakeConfig, small_dataset: SequentialDataset, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = tmp_path / "one.pth"
    pretrained(small_config(), small_dataset, path)
    config = small_config(**changes)
    dataset = load_dataset(config)
    with pytest.raises(CheckpointMismatch, match=words):
        start_run(get_model("S3Rec"), "finetune", config.for_stage("finetune"), dataset, initial=path)


def test_a_shape_that_no_key_explains_points_at_the_data(
    small_config: MakeConfig, small_dataset: SequentialDataset
) -> None:
    config = small_config()
    model = get_model("S3Rec").build(config, small_dataset)
    state = {**model.state_dict(), "feature_embedding.weight": torch.zeros(3, 16)}
    content = {"state_dict": state, "config": config.as_dict()}
    with pytest.raises(CheckpointMismatch, match="data sets differ"):
        load_weights(model, content, Path("x.pth"), config, "")


@pytest.fixture
def recbole_classes() -> Iterator[ModuleType]:
    """A module under the name of RecBole's configuration, so that a file like RecBole's can be written."""
    names = ["recbole", "recbole.config", "recbole.config.configurator"]
    for name in names:
        sys.modules[name] = ModuleType(name)
    module: Any = sys.modules[names[-1]]

    class Config:
        pass

    Config.__module__, Config.__qualname__ = module.__name__, "Config"
    module.Config = Config
    yield module
    for name in names:
        del sys.modules[name]


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_file_with_recboles_pickled_objects_is_read_without_them(
    tmp_path: Path, recbole_classes: Any, protocol: int
) -> None:
    config = recbole_classes.Config()
    config.final_config_dict = {"dataset": "tiny", "hidden_size": 8, "device": torch.device("cpu"), "topk": [10]}
    weights = OrderedDict(w=torch.arange(4.0).reshape(2, 2), half=torch.ones(3, dtype=torch.float16))
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])
    path = tmp_path / "recbole.pth"
    state = {
        **{"config": config, "epoch": 1, "cur_step": 0, "best_valid_score": np.float64(0.25)},
        **{"state_dict": weights, "other_parameter": {}, "optimizer": optimizer.state_dict()},
    }
    torch.save(state, path, pickle_protocol=protocol)
    del sys.modules["recbole.config.configurator"]  # a reader does not have it
    content = load_checkpoint(path)
    sys.modules["recbole.config.configurator"] = recbole_classes
    assert {name: value.tolist() for name, value in content["state_dict"].items()} == {
        "w": [[0.0, 1.0], [2.0, 3.0]],
        "half": [1.0, 1.0, 1.0],
    }
    assert content["config"] == {"dataset": "tiny", "hidden_size": 8}
    assert content["optimizer"]["param_groups"][0]["lr"] == 0.001


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_converted_file_has_everything_but_the_objects(tmp_path: Path, recbole_classes: Any, protocol: int) -> None:
    config = recbole_classes.Config()
    config.final_config_dict = {"model": "S3Rec", "dataset": "tiny", "device": torch.device("cpu")}
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])
    source, target = tmp_path / "theirs.pth", tmp_path / "made" / "plain.pth"
    state = {
        **{"config": config, "epoch": 7, "cur_step": 2, "best_valid_score": np.float64(0.25)},
        **{"state_dict": OrderedDict(w=torch.arange(4.0)), "optimizer": optimizer.state_dict()},
    }
    torch.save(state, source, pickle_protocol=protocol)
    done = convert_checkpoint(source, target)
    assert (done.model, done.dataset, done.tensors, done.numbers) == ("S3Rec", "tiny", 1, 4)
    assert done.dropped == ()
    content = torch.load(target, weights_only=True)
    assert content["state_dict"]["w"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert content["config"] == {"model": "S3Rec", "dataset": "tiny"}
    assert (content["epoch"], content["cur_step"], content["other_parameter"]) == (7, 2, {})
    assert (type(content["best_valid_score"]), content["best_valid_score"]) == (float, 0.25)
    assert content["optimizer"]["param_groups"][0]["lr"] == 0.001


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numpys_numbers_are_read_as_plain_ones(tmp_path: Path, protocol: int, module: str) -> None:
    """RecBole's best_valid_score is one; numpy 1 and 2 keep what makes them in modules of different names."""
    numbers = [np.float64(0.1), np.float32(0.5), np.float16(2), np.int64(-3), np.uint8(7), np.bool_(True)]
    numbers += [np.array(1.25, dtype=">f8")[()], np.array(-2, dtype=">i4")[()]]
    path = tmp_path / "theirs.pth"
    content = {"state_dict": {"w": torch.ones(1)}, "numbers": numbers, "text": np.str_("é")}
    torch.save(content, path, pickle_protocol=protocol)
    if protocol == 2:  # names are lines there
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, part.replace(b"numpy._core.multiarray\n", f"{module}\n".encode()))
    read = load_checkpoint(path)
    assert [(type(value), value) for value in read["numbers"]] == [
        *((float, 0.1), (float, 0.5), (float, 2.0), (int, -3), (int, 7), (bool, True), (float, 1.25), (int, -2))
    ]
    assert isinstance(read["text"], Inert)


def test_of_a_run_that_goes_on_the_best_epochs_weights_are_converted(tmp_path: Path) -> None:
    def state(best_epoch: int) -> dict[str, Any]:
        best = None if best_epoch == 8 else {"w": torch.zeros(2)}
        section = {"format": 1, "resumable": True, "best_epoch": best_epoch, "best_weights": best}
        return {
            **{"epoch": 7, "cur_step": 8 - best_epoch, "best_valid_score": 0.25, "state_dict": {"w": torch.ones(2)}},
            **{"optimizer": {"state": {0: {"step": 9}}, "param_groups": [{"lr": 0.1}]}, "rectuner": section},
        }

    torch.save(state(best_epoch=5), tmp_path / "state.pth")
    assert convert_checkpoint(tmp_path / "state.pth", tmp_path / "best.pth").best_epoch == 5
    content = load_checkpoint(tmp_path / "best.pth")
    assert (content["epoch"], content["cur_step"], content["best_valid_score"]) == (4, 0, 0.25)
    assert content["state_dict"]["w"].tolist() == [0.0, 0.0]
    assert content["optimizer"] == {"state": {}, "param_groups": [{"lr": 0.1}]}
    assert content["rectuner"]["resumable"] is False
    # Where the last epoch is the best, the file says the truth already.
    torch.save(state(best_epoch=8), tmp_path / "state.pth")
    assert convert_checkpoint(tmp_path / "state.pth", tmp_path / "same.pth").best_epoch is None
    assert load_checkpoint(tmp_path / "same.pth") == state(best_epoch=8) | {
        "config": {},
        "other_parameter": {},
        "state_dict": ANY,
    }


def test_a_conversion_overwrites_nothing_unasked(tmp_path: Path) -> None:
    source, target = tmp_path / "a.pth", tmp_path / "b.pth"
    torch.save({"state_dict": {"w": torch.ones(2)}}, source)
    target.write_text("precious")
    with pytest.raises(CheckpointError, match=r"b\.pth: exists already.*--force"):
        convert_checkpoint(source, target)
    assert target.read_text() == "precious"
    convert_checkpoint(source, target, overwrite=True)
    assert load_checkpoint(target)["state_dict"]["w"].tolist() == [1.0, 1.0]


class Hostile:
    """Runs a command when it is unpickled by a reader without an allow-list."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("function", [os.system, eval, exec])
def test_nothing_in_a_file_is_run(tmp_path: Path, protocol: int, function: Callable[..., Any]) -> None:
    mark = tmp_path / "was-run"
    texts = {os.system: f"touch {mark}", eval: f"open({str(mark)!r}, 'w')", exec: f"open({str(mark)!r}, 'w')"}
    path = tmp_path / "hostile.pth"
    torch.save(
        {"state_dict": {"w": torch.ones(1)}, "config": Hostile(function, texts[function])},
        path,
        pickle_protocol=protocol,
    )
    content = load_checkpoint(path)
    assert content["state_dict"]["w"].tolist() == [1.0]
    assert content["config"] == {}
    assert not mark.exists()
    # The file is what it claims to be: a reader that trusts it runs the command.
    if function is os.system:
        torch.load(path, weights_only=False)
        assert mark.exists()


def test_a_conversion_runs_nothing_and_names_what_it_leaves_out(tmp_path: Path) -> None:
    mark, source, target = tmp_path / "was-run", tmp_path / "hostile.pth", tmp_path / "plain.pth"
    state = {"state_dict": {"w": torch.ones(1)}, "optimizer": {"state": Hostile(os.system, f"touch {mark}")}}
    torch.save(state, source, pickle_protocol=4)
    assert convert_checkpoint(source, target).dropped == ("optimizer",)
    assert not mark.exists()
    assert "optimizer" not in torch.load(target, weights_only=True)


def test_weights_that_hide_an_object_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "hostile.pth"
    torch.save({"state_dict": {"w": Hostile(os.getcwd)}}, path, pickle_protocol=4)
    with pytest.raises(CheckpointError, match=r"hostile\.pth: has no state_dict of tensors"):
        load_checkpoint(path)


def test_a_compiled_program_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "program.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("program/data.pkl", pickle.dumps({}))
        archive.writestr("program/constants.pkl", pickle.dumps(()))
    with pytest.raises(CheckpointError, match=r"program\.pth"):
        load_checkpoint(path)
