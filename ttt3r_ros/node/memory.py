"""Giving memory back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys

_M_MMAP_THRESHOLD = -3  # of malloc.h
_LARGE = 2 << 20  # bytes: more than an image of a usual camera has


def map_large_blocks() -> None:
    """
    Let the allocator return blocks as large as a whole map as soon as they are free.

    glibc would raise its threshold to the largest block that was ever freed, and blocks below it
    stay: each size of a growing map's message, some ten times over.
    """
    if sys.platform.startswith('linux'):
        mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _LARGE)


def give_back_memory() -> None:
    """
    Return what was freed to the system; where its allocator cannot be asked, nothing happens.

    Without this glibc keeps freed weights for later: its threshold for mapping memory has grown.
    """
    gc.collect()
    if sys.platform.startswith('linux'):
        trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
        if trim is not None:
            trim(0)
