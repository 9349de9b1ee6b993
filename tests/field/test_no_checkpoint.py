"""``pre_model_path`` names a file that is no checkpoint."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from model.errors import CheckpointError
from model.quick_start import run_recbole
from tuner.settings import Settings

FIELD = Path(__file__).parent


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", r"but a text that begins with b'hello'"),
        (b"epoch,loss\n1,2\n", r"but a text that begins with b'epoch,loss"),
        (b"", r"is empty"),
        (pickle.dumps([1, 2]), r"but something else that begins with"),
    ],
)
def test_a_file_that_is_no_checkpoint_says_what_it_is(settings: Settings, content: bytes, words: str) -> None:
    """Field 28: a text file was answered with "can't be read as a checkpoint: 101"."""
    Path("junk.pth").write_bytes(content)
    config = {"train_stage": "finetune", "pre_model_path": "junk.pth", "data_path": str(FIELD / "dataset")}
    with pytest.raises(CheckpointError, match=rf"^junk\.pth: .*{words}"):
        run_recbole(model="S3Rec", dataset="t", config_dict=config)
