"""A space against a model's schema."""

from __future__ import annotations

import pytest

from model.parameters import Parameter, by_name
from tuner import space
from tuner.errors import SpaceError

SCHEMA = by_name(
    [
        Parameter("n_layers", "int", 2, "", minimum=1, stages=frozenset({"pretrain", "finetune"})),
        Parameter(
            "learning_rate", "float", 0.001, "", minimum=0, maximum=10, stages=frozenset({"pretrain", "finetune"})
        ),
        Parameter("pretrain_epochs", "int", 500, "", minimum=0, stages=frozenset({"pretrain"})),
        Parameter("loss_type", "str", "CE", "", choices=("CE", "BPR"), stages=frozenset({"finetune"})),
        Parameter("mlp_hidden_size", "list", [64], "", stages=frozenset({"finetune"})),
        Parameter("topk", "list", [10], ""),
    ]
)


def check(text: str, fixed: tuple[str, ...] = ()) -> None:
    space.parse(text).check(SCHEMA, fixed)


@pytest.mark.parametrize(
    "text",
    [
        "n_layers quniform 1,4,1",
        "n_layers choice [1, 2.0]",
        "finetune.learning_rate loguniform -8,0",
        "pretrain.pretrain_epochs choice [5]",
        "loss_type choice ['CE','BPR']",
        "mlp_hidden_size choice ['[64,64]', [128]]",
    ],
)
def test_accepts_what_suits(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("text", "problem", "fix"),
    [
        ("n_layer choice [1]", "n_layer", "n_layers"),
        ("finetune.learnig_rate uniform 0,1", "learnig_rate", "finetune.learning_rate"),
        ("pretraining.learning_rate uniform 0,1", "pretraining", "pretrain.learning_rate"),
        ("finetune.pretrain_epochs choice [1]", "nothing in the stage finetune", "pretrain"),
        ("pretrain.topk choice [[5]]", "topk", "Write topk alone"),
        ("n_layers uniform 1,4", "whole number", "quniform 1,4,1"),
        ("n_layers quniform 0,4,1", "at least 1", "bounds"),
        ("n_layers quniform 1,2,0.5", "whole number", "bounds"),
        ("n_layers choice [1.5]", "whole number", "option"),
        ("learning_rate loguniform 1,5", "at most 10", "exponents"),
        ("loss_type choice ['CE','NLL']", "NLL", "option"),
    ],
)
def test_refuses_what_does_not_suit(text: str, problem: str, fix: str) -> None:
    with pytest.raises(SpaceError) as caught:
        check(f"# first\n{text}\n")
    assert problem in caught.value.problem
    assert fix in caught.value.fix
    assert caught.value.line == 2


def test_a_parameter_is_not_both_fixed_and_searched() -> None:
    with pytest.raises(SpaceError, match="both fixed and searched"):
        check("learning_rate uniform 0,1", fixed=("learning_rate",))
    check("finetune.learning_rate uniform 0,1", fixed=("learning_rate",))
