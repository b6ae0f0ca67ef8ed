"""A recording without the distortion of its lens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ttt3r_ros.io.frames import Frame, Sequence
from ttt3r_ros.io.rectify import Undistorter


class UndistortedSequence(Sequence):
    """
    Another recording, whose images and depth are undistorted.

    :param sequence: as recorded
    :param undistorter: of its lens
    """

    def __init__(self, sequence: Sequence, undistorter: Undistorter) -> None:
        super().__init__(
            sequence.name,
            ordered=sequence.ordered,
            has_poses=sequence.has_poses,
            has_depth=sequence.has_depth,
        )
        self._sequence = sequence
        self.undistorter = self._undistorter = undistorter

    def __len__(self) -> int:
        return len(self._sequence)

    def __iter__(self) -> Iterator[Frame]:
        return map(self._undistort, self._sequence)

    def _undistort(self, frame: Frame) -> Frame:
        load_image, load_depth = frame.load_image, frame.load_depth
        return replace(
            frame,
            load_image=lambda: self._undistorter.image(load_image()),
            load_depth=load_depth and (lambda: self._undistorter.depth(load_depth())),
        )
