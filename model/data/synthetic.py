"""A small data set with planted structure, for tests and for trying things out.

Items belong to classes. A user walks through the items of one class in the class's own circular order, now and then
jumps to a random item, and sometimes changes the class. What comes next can therefore be learned from the history,
and far better than from popularity.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

JUMP = 0.1  # chance that the next item is any item
CHANGE = 0.05  # chance that the user turns to another class


def write(
    folder: str | Path,
    name: str = "synthetic",
    *,
    users: int = 200,
    items: int = 60,
    classes: int = 6,
    events: int = 15,
    seed: int = 2020,
) -> Path:
    """Write ``<folder>/<name>/<name>.inter`` and ``.item``.

    Args:
        users, items, classes: how many of each.
        events: mean number of events per user (between half and one and a half of it).
        seed: the files are a function of it and the sizes.

    Returns:
        The folder with the files.

    Raises:
        ValueError: there are fewer items than classes, or nobody and nothing to write about.
    """
    if min(users, classes, events) < 1 or items < classes:
        raise ValueError(f"{users} users, {items} items, {classes} classes, {events} events: too few of something.")
    rng = np.random.default_rng(seed)
    target = Path(folder) / name
    target.mkdir(parents=True, exist_ok=True)
    members = np.array_split(rng.permutation(items) + 1, classes)
    rows = ["user_id:token\titem_id:token\ttimestamp:float"]
    for user in range(1, users + 1):
        number = int(rng.integers(max(3, events // 2), events * 3 // 2 + 1))
        begin = int(rng.integers(0, 10_000))
        walk = _walk(rng, members, items, number)
        rows += [f"u{user}\ti{item}\t{begin + step * 10}" for step, item in enumerate(walk)]
    (target / f"{name}.inter").write_text("\n".join(rows) + "\n")
    class_of = {int(item): number for number, group in enumerate(members) for item in group}
    lines = ["item_id:token\tclass:token_seq"]
    lines += [f"i{item}\tc{class_of[item]} {'even' if item % 2 == 0 else 'odd'}" for item in range(1, items + 1)]
    (target / f"{name}.item").write_text("\n".join(lines) + "\n")
    return target


def _walk(rng: np.random.Generator, members: list[np.ndarray], items: int, number: int) -> list[int]:
    group = members[int(rng.integers(len(members)))]
    place = int(rng.integers(len(group)))
    walk = []
    for _ in range(number):
        if rng.random() < CHANGE:
            group = members[int(rng.integers(len(members)))]
            place = int(rng.integers(len(group)))
        jumps = rng.random() < JUMP
        walk.append(int(rng.integers(1, items + 1)) if jumps else int(group[place % len(group)]))
        place += 1
    return walk
