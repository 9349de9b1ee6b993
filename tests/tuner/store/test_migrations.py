"""The migrations as files: one line without forks, numbered in order."""

from __future__ import annotations

from alembic.script import ScriptDirectory

from tuner.store import schema


def test_every_migration_follows_the_one_before_it() -> None:
    scripts = ScriptDirectory.from_config(schema._config())
    found = [(script.down_revision, script.revision) for script in scripts.walk_revisions()][::-1]
    numbers = [f"{number:04}" for number in range(1, len(found) + 1)]
    assert found == list(zip([None, *numbers], numbers, strict=False))
