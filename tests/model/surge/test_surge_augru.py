"""The gated unit with a damped update gate."""

from __future__ import annotations

import pytest
import torch

from model.surge.augru import AttentionGRU

ROWS, STEPS, WIDTH, STATE = 3, 5, 4, 6


@pytest.fixture
def unit() -> AttentionGRU:
    unit = AttentionGRU(WIDTH, STATE)
    unit.reset(torch.Generator().manual_seed(0))
    return unit


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(ROWS, STEPS, WIDTH, generator=torch.Generator().manual_seed(1))


def run(unit: AttentionGRU, inputs: torch.Tensor, attention: float, valid: torch.Tensor | None = None) -> torch.Tensor:
    with torch.no_grad():
        weights = torch.full(inputs.shape[:2], attention)
        return unit(unit.project(inputs).unbind(1), weights, valid)


def test_without_attention_it_is_a_gru_that_resets_before_the_product(unit, inputs) -> None:
    weight, bias = unit.input.weight, unit.input.bias
    state = torch.zeros(ROWS, STATE)
    with torch.no_grad():
        for step in inputs.unbind(1):
            reset_in, update_in, fresh_in = (step @ weight.T + bias).chunk(3, dim=1)
            reset_state, update_state = (state @ unit.gates.weight.T).chunk(2, dim=1)
            reset, update = torch.sigmoid(reset_in + reset_state), torch.sigmoid(update_in + update_state)
            fresh = torch.tanh(fresh_in + (reset * state) @ unit.candidate.weight.T)
            state = update * state + (1 - update) * fresh
    torch.testing.assert_close(run(unit, inputs, 0.0), state, atol=1e-6, rtol=0)


def test_full_attention_takes_the_candidate_state(unit, inputs) -> None:
    before = run(unit, inputs[:, :-1], 1.0)
    projected = unit.project(inputs[:, -1])
    reset = torch.sigmoid(projected + torch.nn.functional.pad(before @ unit.gates.weight.T, (0, STATE)))[:, :STATE]
    fresh = torch.tanh(projected[:, 2 * STATE :] + (reset * before) @ unit.candidate.weight.T)
    torch.testing.assert_close(run(unit, inputs, 1.0), fresh, atol=1e-6, rtol=0)


def test_steps_past_the_end_keep_the_state(unit, inputs) -> None:
    valid = torch.arange(STEPS) < torch.tensor([5, 2, 3])[:, None]
    ended = run(unit, inputs, 0.3, valid)
    for row, length in enumerate((5, 2, 3)):
        alone = run(unit, inputs[row : row + 1, :length], 0.3)
        torch.testing.assert_close(ended[row : row + 1], alone, atol=1e-6, rtol=0)


def test_gates_start_open(unit) -> None:
    assert torch.equal(unit.input.bias, torch.tensor([1.0] * (2 * STATE) + [0.0] * STATE))
