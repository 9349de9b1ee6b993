"""A gated recurrent unit whose update gate is damped by attention."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.surge.attention import linear


class AttentionGRU(nn.Module):
    """AUGRU as the authors of SURGE run it.

    With the attention weight ``a`` of a step, in [0, 1]::

        r, u = sigmoid(x Wx + s Ws + b)
        c = tanh(x Wx + (r * s) Ws + b)
        u = (1 - a) * u
        s = u * s + (1 - u) * c

    so that a = 0 is a plain GRU and a = 1 takes the candidate state whole. The reset gate acts before the
    matrix product, unlike in torch.nn.GRU.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.input = linear(inputs, 3 * width, bias=True)
        self.gates = linear(width, 2 * width, bias=False)
        self.candidate = linear(width, width, bias=False)

    def reset(self, generator: torch.Generator) -> None:
        """Xavier weights; gates start open (bias 1), the candidate state without bias."""
        for block in self.input.weight.chunk(3):
            nn.init.xavier_normal_(block, generator=generator)
        for block in self.gates.weight.chunk(2):
            nn.init.xavier_normal_(block, generator=generator)
        nn.init.xavier_normal_(self.candidate.weight, generator=generator)
        nn.init.zeros_(self.input.bias)
        nn.init.ones_(self.input.bias[: 2 * self.width])

    def project(self, values: Tensor) -> Tensor:
        """[..., inputs] -> [..., 3h]: the inputs' part of all gates, which no state changes."""
        projected: Tensor = self.input(values)
        return projected

    def forward(self, steps: Iterable[Tensor], attention: Tensor, valid: Tensor | None) -> Tensor:
        """The last state.

        Args:
            steps: the projected inputs [R, 3h] of each of T steps, in order.
            attention: float [R, T].
            valid: bool [R, T], False where a row has ended and keeps its state; None when no row ends early.

        Returns:
            float [R, h].
        """
        state = attention.new_zeros(len(attention), self.width)
        for number, step in enumerate(steps):
            old = state
            gate_input, fresh_input = step.split_with_sizes([2 * self.width, self.width], dim=1)
            gates = torch.sigmoid(gate_input + functional.linear(old, self.gates.weight))
            reset, update = gates.chunk(2, dim=1)
            fresh = torch.tanh(fresh_input + functional.linear(reset * old, self.candidate.weight))
            update = (1 - attention[:, number, None]) * update
            state = torch.lerp(fresh, old, update)
            if valid is not None:
                state = torch.where(valid[:, number, None], state, old)
        return state
