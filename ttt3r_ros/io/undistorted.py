"""A recording without the distortion of its lens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from ttt3r_ros.io.frames import DerivedSequence, Frame, Sequence
from ttt3r_ros.io.rectify import Undistorter


class UndistortedSequence(DerivedSequence):
    """
    Another recording, whose images and depth are undistorted.

    :param sequence: as recorded
    :param undistorter: of its lens
    """

    def __init__(self, sequence: Sequence, undistorter: Undistorter) -> None:
        super().__init__(sequence)
        self.undistorter = undistorter
        self._undistort = partial(_undistort, undistorter)

    def __iter__(self) -> Iterator[Frame]:
        return map(self._undistort, self._sequence)


def _undistort(undistorter: Undistorter, frame: Frame) -> Frame:
    load_image, load_depth = frame.load_image, frame.load_depth
    return replace(
        frame,
        load_image=lambda: undistorter.image(load_image()),
        load_depth=load_depth and (lambda: undistorter.depth(load_depth())),
    )
