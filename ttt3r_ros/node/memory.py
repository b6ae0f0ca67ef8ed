"""Giving memory back to the system."""

from __future__ import annotations

import ctypes
import gc
import math
import sys
import time

import numpy as np

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of malloc.h
_LARGE = 2 << 20  # bytes: more than an image of a usual camera has
_WIDE = 4 << 20  # numbers: more than a hidden layer of a wide network has for an image
_KEPT = 32 << 20  # bytes: more than one image needs meanwhile
_WIDE_KEPT = {4: 128 << 20}  # bytes, by those of a wide network's numbers, where more pays
_TRIM_INTERVAL = 1.0  # seconds: trimming holds up all threads that want memory
_SMALL = 1024  # bytes: NumPy keeps free blocks up to this size,
_BLOCKS = 8  # and of each size about so many


def tune_allocator(*, wide: int = 0) -> None:
    """
    Let the allocator return blocks as large as a whole map at once, and keep smaller ones.

    All threads get one heap: of others glibc never gives back the end, so that each would keep
    what the largest map message took there. To be called before there are threads.

    glibc would raise its threshold to the largest block that was ever freed, and blocks below it
    stay: each size of a growing map's message, some ten times over. With a threshold of our own,
    it would return the end of its heap whenever 128 kB of it are free, and fetch it again page by
    page: a thousand page faults and 3 ms for each image.

    :param wide: bytes of a number of a wide network, whose blocks are kept, too: it needs hundreds
        for each image, and fetched again, their pages would cost a tenth of its time; 0: none
    """
    if sys.platform.startswith('linux'):
        mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, 1)
            mallopt(_M_MMAP_THRESHOLD, _WIDE * wide or _LARGE)
            mallopt(_M_TRIM_THRESHOLD, _WIDE_KEPT.get(wide, _KEPT))


def fill_small_blocks() -> None:
    """
    Let NumPy take now, and in one place, what it will keep of small arrays.

    It keeps some free blocks of every size below 1 kB, 3.6 MB in all, and first those that masks
    and lists of ever other lengths bring about. That would take hours, and each block would hold
    a page in the midst of what large arrays have left.
    """
    blocks = [np.empty(size, np.uint8) for size in range(1, _SMALL + 1) for _ in range(_BLOCKS)]
    blocks.clear()


def give_back_memory() -> None:
    """
    Return what was freed to the system, after what only a search finds to be free.

    Without this glibc keeps freed weights for later: its threshold for mapping memory has grown.
    """
    gc.collect()
    trim_heap()


def trim_heap() -> None:
    """
    Return the free pages of the heap; where the allocator cannot be asked, nothing happens.

    By itself glibc gives back nothing but its end, and what lies before that stays as large as it
    was at its fullest: memory rises for hours, by steps, though nothing more is in use. This takes
    1 ms.
    """
    if sys.platform.startswith('linux'):
        trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
        if trim is not None:
            trim(0)


class SeldomTrim:
    """Gives free pages back after messages that may come often: once a second is enough."""

    def __init__(self) -> None:
        self._last = -math.inf

    def __call__(self) -> None:
        """Call `trim_heap`, unless the last call that did so is less than a second ago."""
        now = time.monotonic()
        if now - self._last >= _TRIM_INTERVAL:
            self._last = now
            trim_heap()
