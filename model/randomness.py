"""Named random generators: the reason why resumed, shared and parallel runs end with the same bits.

Every random number in training is drawn from a generator that is derived from
``(seed, stage, epoch, purpose)``. No stream depends on how many numbers another one has used, on what ran
before in the same process, or on global state, so an epoch can be repeated or continued anywhere.
"""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the stream called ``names`` under the run's ``seed``.

    A cryptographic hash keeps neighbouring names (epoch 1, epoch 2) statistically unrelated, which adding
    numbers to the seed would not.
    """
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_generator(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh torch generator on ``device`` for the named stream."""
    generator = torch.Generator(device=device)
    generator.manual_seed(derive_seed(seed, *names))
    return generator
