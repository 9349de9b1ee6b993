"""Asking the C library not to hand memory back between two micro-batches."""

from __future__ import annotations

import ctypes
import functools
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # mallopt's names for what is set
_MEGABYTE = 1 << 20


@functools.cache
def keep_freed_memory() -> None:
    """From now on keep freed memory for the next allocation, up to 512 MB.

    glibc returns larger blocks to the system at once and fetches them again, page by page, for the next tensor. With
    micro-batches that takes up to a third of the time. Other C libraries are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(_MMAP_THRESHOLD, 32 * _MEGABYTE)  # the largest value that it takes
    mallopt(_TRIM_THRESHOLD, 512 * _MEGABYTE)
    mallopt(_TOP_PAD, 16 * _MEGABYTE)
