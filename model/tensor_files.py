"""Files of tensors that appear whole or not at all, and whether what is in them is what was written."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch

from model.whole_files import whole_file


class _Digesting:
    """A file to write to that knows the SHA-256 of what was written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._sha256 = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._sha256.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def digest(self) -> str:
        return self._sha256.hexdigest()


def save_whole(path: Path, content: Any, announce: Callable[[str], None] | None = None) -> str:
    """Write ``content`` with torch so that readers see the old file or the new one, never a part.

    Args:
        announce: called with the file's SHA-256 before the file appears; if it raises, the file does not.

    Returns:
        The file's SHA-256, in hexadecimal digits.

    Raises:
        OSError: the folder can't be written, or the disk is full; an old file is untouched.
    """
    with whole_file(path) as file:
        digesting = _Digesting(file)
        torch.save(content, digesting)  # type: ignore[arg-type]  # write and flush are all that it asks of a file
        if announce is not None:
            announce(digesting.digest())
    return digesting.digest()


def damaged_part(file: Path | IO[bytes]) -> str | None:
    """The first part of a file of torch's whose checksum is not that of its content, None when all agree.

    torch writes a CRC-32 of each part and does not look at it when it reads.

    Raises:
        zipfile.BadZipFile: the file has no readable list of parts, because it is cut off or something else.
        OSError: it can't be read.
    """
    with zipfile.ZipFile(file) as archive:
        return archive.testzip()
