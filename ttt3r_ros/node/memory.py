"""Giving memory back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGE = 2 << 20  # bytes: more than an image of a usual camera has
_KEPT = 32 << 20  # bytes: more than one image needs meanwhile


def tune_allocator() -> None:
    """
    Let the allocator return blocks as large as a whole map at once, and keep smaller ones.

    glibc would raise its threshold to the largest block that was ever freed, and blocks below it
    stay: each size of a growing map's message, some ten times over. With a threshold of our own,
    it would return the end of its heap whenever 128 kB of it are free, and fetch it again page by
    page: a thousand page faults and 3 ms for each image.
    """
    if sys.platform.startswith('linux'):
        mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _LARGE)
            mallopt(_M_TRIM_THRESHOLD, _KEPT)


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
