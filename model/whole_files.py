"""Files of tensors that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import torch


def save_whole(path: Path, content: Any) -> None:
    """Write ``content`` with torch so that readers see the old file or the new one, never a part.

    Raises:
        OSError: the folder can't be written, or the disk is full; an old file is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    # The rename itself has to reach the disk too.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
