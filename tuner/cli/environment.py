"""What commands stand on: settings, the database, consoles; and errors as messages."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from model.whole_files import whole_file
from tuner.errors import SettingsError

if TYPE_CHECKING:
    from tuner.settings import Settings
    from tuner.store import Database

# highlight=False: rich would colour every number.
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def read_settings(**chosen: Any) -> Settings:
    """The settings in force; ``chosen`` (from flags) win over the environment, None means not chosen.

    Raises:
        SettingsError: a TUNER_* variable, or a flag, has an unusable value.
    """
    from pydantic import ValidationError

    from tuner.settings import Settings

    try:
        settings = Settings(**{key: value for key, value in chosen.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = f"TUNER_{'_'.join(str(part) for part in first['loc']).upper()}"
        raise SettingsError(f"{name} = {first['input']!r}: {first['msg']}.") from None
    if settings.data_root is not None:
        # The model package knows no settings; this is where it looks.
        os.environ["TUNER_DATA_ROOT"] = str(settings.data_root)
    return settings


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """The installation's database, at this program's version.

    Raises:
        DatabaseError: it can't be reached, written, or is newer than this program.
    """
    from tuner.store import Database

    database = Database(settings.database)
    try:
        database.upgrade()
        yield database
    finally:
        database.close()


def check_writable(folder: Path, variable: str) -> None:
    """Make sure that files can be created in ``folder``, which is created if need be.

    Raises:
        SettingsError: they can't; names the folder, the reason, and the variable to set.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".tuner-", dir=folder):
            pass
    except OSError as error:
        raise SettingsError(
            f"{folder}: can't be written ({error.strerror}). Set {variable} to a folder that can."
        ) from None


def write_file(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file for the person at the terminal; it appears whole or not at all.

    Raises:
        SettingsError: it can't be written.
    """
    try:
        with whole_file(path.absolute()) as file:
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        raise SettingsError(f"{path}: can't be written ({error.strerror}). Choose another file.") from None
