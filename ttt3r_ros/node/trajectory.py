"""Poses of a long drive, in memory that is taken at its beginning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.geometry.se3 import Transform


class Trajectory:
    """
    The newest stamped poses, oldest first.

    All memory is taken, and touched, when it is made: a node that has begun to work does not grow
    until it is killed an hour later.

    :param capacity: poses that are kept; older ones go
    """

    def __init__(self, capacity: int) -> None:
        # Not np.zeros: that would take its pages one by one, as they are written.
        self._stamps = np.full(capacity, -1, np.int64)
        self._rows = np.full((capacity, 3, 4), np.nan)
        self.clear()

    def clear(self) -> None:
        """Forget all poses."""
        self._count = 0  # appended since

    def __len__(self) -> int:
        return min(self._count, len(self._stamps))

    def append(self, stamp: int, pose: Transform) -> None:
        """
        Add a pose.

        :param stamp: nanoseconds
        :param pose: rigid motion [4, 4]
        """
        place = self._count % len(self._stamps)
        self._stamps[place], self._rows[place] = stamp, pose[:3]
        self._count += 1

    def read(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return stamps in nanoseconds [N] and poses [N, 4, 4]."""
        kept = np.arange(self._count - len(self), self._count) % len(self._stamps)
        poses = np.zeros((len(kept), 4, 4))
        poses[:, :3], poses[:, 3, 3] = self._rows[kept], 1.0
        return self._stamps[kept], poses
