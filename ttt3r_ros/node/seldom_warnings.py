"""Warnings that come with every image, said now and then."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time


class SeldomWarnings:
    """
    Logs warnings, of each kind at most one in a period.

    The logger's own throttle would count all that come from one line of code as one kind.

    :param log: says one
    :param period: seconds
    """

    def __init__(self, log: Callable[[str], object], period: float) -> None:
        self._log = log
        self._period = period
        self._said: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, kind: str, text: str) -> None:
        """
        Log a warning, unless one of its kind was logged less than a period ago.

        :param kind: of few
        """
        now = time.monotonic()
        with self._lock:
            last = self._said.get(kind)
            if last is not None and now - last < self._period:
                return
            self._said[kind] = now
        self._log(text)
