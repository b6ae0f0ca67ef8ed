"""The recent history of one frame: where it was in its parent, interpolated in time."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from tf2_ros.exceptions import ExtrapolationException


class Sample(NamedTuple):
    """The pose of a frame in its parent at one time."""

    stamp: int  # nanoseconds
    parent: str
    translation: np.ndarray  # [3] metres
    quat_xyzw: np.ndarray  # [4] unit quaternion

    def matrix(self) -> np.ndarray:
        """Return `T_parent_frame` [4, 4]."""
        transform = np.eye(4)
        transform[:3, :3] = Rotation.from_quat(self.quat_xyzw).as_matrix()
        transform[:3, 3] = self.translation
        return transform


class TimeCache:
    """
    Samples of one frame, sorted by time.

    :param length: how far behind the newest sample the history reaches, nanoseconds
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._samples: list[Sample] = []

    def insert(self, sample: Sample) -> None:
        """Add a sample, replacing one of the same time; drop what is too old."""
        oldest_allowed = max(self.newest.stamp if self._samples else 0, sample.stamp)
        oldest_allowed -= self._length
        if sample.stamp < oldest_allowed:
            return
        index = bisect_left(self._samples, sample.stamp, key=_stamp)
        same_time = index < len(self._samples) and self._samples[index].stamp == sample.stamp
        self._samples[index : index + same_time] = [sample]
        del self._samples[: bisect_left(self._samples, oldest_allowed, key=_stamp)]

    @property
    def newest(self) -> Sample:
        """The latest sample."""
        return self._samples[-1]

    def latest_time(self) -> int | None:
        """Return the time of the newest sample in nanoseconds."""
        return self.newest.stamp

    def at(self, stamp: int) -> Sample:
        """
        Interpolate: the translation linearly, the rotation along the shortest arc.

        :raises ExtrapolationException: if the time is outside the history
        """
        index = bisect_left(self._samples, stamp, key=_stamp)
        if index == len(self._samples):
            raise ExtrapolationException(_outside(stamp, 'future', 'latest', self.newest.stamp))
        after = self._samples[index]
        if after.stamp == stamp:
            return after
        if index == 0:
            raise ExtrapolationException(_outside(stamp, 'past', 'earliest', after.stamp))
        return _interpolate(self._samples[index - 1], after, stamp)


class StaticCache:
    """One sample that holds for all times."""

    def __init__(self) -> None:
        self._sample: Sample | None = None

    def insert(self, sample: Sample) -> None:
        """Replace the sample."""
        self._sample = sample

    @property
    def newest(self) -> Sample:
        """The sample."""
        assert self._sample is not None
        return self._sample

    def latest_time(self) -> int | None:
        """Return nothing: a static frame limits no lookup."""
        return None

    def at(self, stamp: int) -> Sample:
        """Return the sample, as of the time asked for."""
        return self.newest._replace(stamp=stamp)


def _stamp(sample: Sample) -> int:
    return sample.stamp


def _interpolate(before: Sample, after: Sample, stamp: int) -> Sample:
    if before.parent != after.parent:  # the frame moved to another parent in between
        return before._replace(stamp=stamp)
    fraction = (stamp - before.stamp) / (after.stamp - before.stamp)
    rotations = Rotation.from_quat(np.stack([before.quat_xyzw, after.quat_xyzw]))
    return Sample(
        stamp,
        before.parent,
        (1 - fraction) * before.translation + fraction * after.translation,
        Slerp([0.0, 1.0], rotations)(fraction).as_quat(),
    )


def _outside(stamp: int, side: str, end: str, limit: int) -> str:
    return (
        f'Lookup would require extrapolation into the {side}. Requested time '
        f'{stamp / 1e9:.6f} but the {end} data is at time {limit / 1e9:.6f}'
    )
