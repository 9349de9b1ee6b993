"""Put known faults into a copy of the program, one at a time, and see whether the fast tests notice.

``make mutants`` runs the table in ``changes.toml``, ``make mutants ONLY=claims`` the rows with that in their name or
file. The exit code is 1 if a change survived, or has no verdict because the tests fail without it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("changes.toml")
# How pytest says that a test failed; everything else but 0 is no verdict.
_FAILED = 1


@dataclass(frozen=True)
class Change:
    """One exact text of a file, and what stands there instead."""

    file: str
    text: str
    becomes: str

    def apply(self, root: Path) -> str:
        """The file's content with the change.

        Raises:
            ValueError: the text is not in the file exactly once.
        """
        content = (root / self.file).read_text()
        if (found := content.count(self.text)) != 1:
            raise ValueError(f"{self.file}: {self.text!r} is there {found} times, and must be once.")
        return content.replace(self.text, self.becomes)


@dataclass(frozen=True)
class Mutant:
    """A fault: its changes, and the test files (or tests) that should notice it."""

    name: str
    tests: tuple[str, ...]
    changes: tuple[Change, ...]


def table() -> list[Mutant]:
    """All rows of ``changes.toml``."""
    rows = tomllib.loads(TABLE.read_text())["mutant"]
    return [
        Mutant(row["name"], tuple(row["tests"]), tuple(Change(**change) for change in row["change"])) for row in rows
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("only", nargs="?", default="", help="part of a row's name or of its file's")
    only = parser.parse_args(arguments).only
    chosen = [one for one in table() if only in one.name or any(only in change.file for change in one.changes)]
    if not chosen:
        print(f"No row of {TABLE.name} has {only!r} in its name or file.")
        return 1
    begun = time.monotonic()
    with _copy() as root:
        tests = sorted({test for one in chosen for test in one.tests})
        if (code := _pytest(root, tests, "--tb=short")) != 0:
            print(f"The tests do not pass without a change (pytest says {code}): no verdict.")
            return 1
        bad = [one.name for one in chosen if not _caught(root, one)]
    print(f"{len(chosen) - len(bad)} of {len(chosen)} caught in {time.monotonic() - begun:.0f} s.")
    return 1 if bad else 0


def _caught(root: Path, mutant: Mutant) -> bool:
    begun = time.monotonic()
    before = {change.file: (root / change.file).read_text() for change in mutant.changes}
    try:
        for change in mutant.changes:
            (root / change.file).write_text(change.apply(root))
        code = _pytest(root, mutant.tests, "--tb=no", silent=True)
        verdict = {_FAILED: "caught", 0: "SURVIVED"}.get(code, f"NO VERDICT (pytest says {code})")
    except ValueError as error:
        code, verdict = None, f"NO LONGER APPLIES: {error}"
    finally:
        for file, content in before.items():
            (root / file).write_text(content)
    print(f"{verdict:9} {time.monotonic() - begun:4.0f} s  {mutant.name}", flush=True)
    return code == _FAILED


def _pytest(root: Path, tests: Sequence[str], *options: str, silent: bool = False) -> int:
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "--timeout=120", *options, *tests]
    # Compiled files are told from stale ones by seconds and size, which a change may leave as they were.
    environment = os.environ | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    output = subprocess.DEVNULL if silent else None
    return subprocess.run(command, cwd=root, env=environment, stdout=output, stderr=output, check=False).returncode


@contextmanager
def _copy() -> Iterator[Path]:
    """The files that git knows or would take, as they are now, in a folder of their own."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).is_file():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, Path(folder) / name)
        yield Path(folder)


if __name__ == "__main__":
    sys.exit(main())
