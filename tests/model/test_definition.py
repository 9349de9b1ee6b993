"""Declarations of models, and that they are read without what computes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from model import registry
from model.definition import lazily
from model.surge.attention import ACTIVATIONS

REPOSITORY = Path(__file__).parents[2]
# What takes a second to import, and no declaration needs.
HEAVY = ("torch", "numpy", "pandas", "plotly", "optuna", "sklearn", "sqlalchemy")


def test_a_named_function_is_the_one_at_its_path() -> None:
    assert lazily("model.interval:_is_pair")([1, 2]) is True


@pytest.mark.parametrize("path", ["model.interval", "model.interval:", ":build", ""])
def test_a_name_of_no_function_is_refused_at_once(path: str) -> None:
    with pytest.raises(ValueError, match=r"Write package\.module:name"):
        lazily(path)


def test_surge_offers_the_activations_that_it_has() -> None:
    assert registry.parameters_of("SURGE")["att_activation"].choices == tuple(ACTIVATIONS)


@pytest.mark.parametrize(
    "program",
    [
        "from model import registry\nfor name in registry.BUILT_IN: registry.parameters_of(name)",
        "import model.protocol",
        "import model.data.catalog",
        "from model.config import Config\nConfig('S3Rec', 'ml-100k', {'val_interval': {'rating': '[3,inf)'}})",
        "import tuner.specification, tuner.settings",
        "from tuner import space\nspace.parse('learning_rate loguniform -8,-4').to_json()",
        "from pathlib import Path\nfrom tuner.folder import read_study\n"
        "for file in Path('studies').glob('*/study.yaml'): read_study(file.parent)",
    ],
)
def test_what_declares_is_read_without_what_computes(program: str) -> None:
    told = f"{program}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
