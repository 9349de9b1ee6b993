"""Whether the content of a checkpoint is the state of a run that can be gone on from."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.errors import CheckpointError

_OF_THE_RUN = ("epoch", "cur_step", "best_valid_score", "optimizer")
# In Rectuner's own section.
_OURS = ("best_epoch", "best_valid_result", "best_weights")


def check_run_state(content: Mapping[str, Any], path: Path, optimizer: torch.optim.Optimizer) -> None:
    """Make sure that ``content`` is all that a run with ``optimizer`` goes on from, before any of it is taken over.

    Raises:
        CheckpointError: something is missing, or is not what a run writes; says what.
    """
    section: Mapping[str, Any] = content.get("rectuner") or {}
    epoch: Any = content.get("epoch")
    best: Any = content.get("best_valid_score")
    best_epoch: Any = section.get("best_epoch")
    weights: Any = section.get("best_weights")
    state = content["state_dict"]
    missing = [name for name in _OF_THE_RUN if name not in content] + [name for name in _OURS if name not in section]
    wrong: str | None
    if missing:
        wrong = f"{missing[0]} is missing"
    elif not _is_count(epoch, -1):
        wrong = f"epoch is {epoch!r}"
    elif not _is_count(content.get("cur_step"), 0):
        wrong = f"cur_step is {content.get('cur_step')!r}"
    elif best is not None and (isinstance(best, bool) or not isinstance(best, int | float)):
        wrong = f"best_valid_score is {best!r}"
    elif not _is_count(best_epoch, 0) or best_epoch > epoch + 1:
        wrong = f"best_epoch is {best_epoch!r} in epoch {epoch}"
    elif not isinstance(section.get("best_valid_result"), Mapping | None):
        wrong = "best_valid_result is no mapping"
    elif weights is not None and not (isinstance(weights, Mapping) and _shapes(weights) == _shapes(state)):
        wrong = "best_weights are not of the model"
    elif weights is None and 0 < best_epoch <= epoch:
        wrong = f"the weights of the best epoch, {best_epoch}, are missing"
    else:
        wrong = _wrong_optimizer(content.get("optimizer"), optimizer, begun=epoch >= 0)
    if wrong is not None:
        raise CheckpointError(f"{path}: holds no state to go on from: {wrong}. Begin without it.")


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _shapes(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, "shape", None) for name, value in weights.items()}


def _wrong_optimizer(found: Any, optimizer: torch.optim.Optimizer, *, begun: bool) -> str | None:
    """What keeps ``found`` from being a state of ``optimizer``; torch itself looks at the number of parameters only."""
    if not isinstance(found, Mapping) or not isinstance(found.get("state"), Mapping):
        return "the optimizer's state is no mapping"
    ours = optimizer.state_dict()["param_groups"]
    groups = found.get("param_groups")
    if not isinstance(groups, list) or [_outline(group) for group in groups] != [_outline(group) for group in ours]:
        return "the optimizer's state is that of another optimizer"
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    kept = _kept_by(optimizer)
    if begun and kept and not found["state"]:
        return "the optimizer's state is empty"
    for index, state in found["state"].items():
        if not isinstance(index, int) or not 0 <= index < len(parameters):
            return f"the optimizer's state has a parameter {index!r}"
        if not isinstance(state, Mapping) or set(state) != kept:
            return f"the optimizer's state of parameter {index} is incomplete"
        shape = parameters[index].shape
        if any(isinstance(value, Tensor) and value.shape not in (shape, ()) for value in state.values()):
            return f"the optimizer's state of parameter {index} has another shape"
    return None


def _outline(group: Any) -> Any:
    return (set(group), group.get("params")) if isinstance(group, Mapping) else None


def _kept_by(optimizer: torch.optim.Optimizer) -> set[str]:
    """What the optimizer keeps of a parameter after a step."""
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    kind: Any = type(optimizer)
    taken = inspect.signature(kind).parameters
    scratch = kind([parameter], **{name: value for name, value in optimizer.defaults.items() if name in taken})
    scratch.step()
    return set(scratch.state[parameter])
