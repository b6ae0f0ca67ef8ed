"""Giving memory back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys


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
