"""What every reader returns: frames whose images are loaded when asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.geometry.se3 import Transform
from ttt3r_ros.io.rectify import Undistorter

ColorImage: TypeAlias = NDArray[np.uint8]
DepthImage: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """
    One recorded image, with what is known about it.

    :param index: position in the recording, from 0
    :param stamp: seconds
    :param load_image: returns the RGB image [H, W, 3]
    :param T_world_camera: ground truth pose, OpenCV axes, metres [4, 4]
    :param load_depth: returns the ground truth depth, registered to the image [H, W]
    """

    index: int
    stamp: float
    load_image: Callable[[], ColorImage]
    T_world_camera: Transform | None = None
    load_depth: Callable[[], DepthImage] | None = None

    @property
    def nanoseconds(self) -> int:
        """The stamp for a message's header: at least 1, for in ROS 0 says that there is none."""
        return max(1, round(self.stamp * 1e9))

    def image(self) -> ColorImage:
        """
        Load the RGB image [H, W, 3].

        :raises DatasetError: naming the file that cannot be read
        """
        return self.load_image()

    def depth(self) -> DepthImage | None:
        """
        Load the ground truth depth, if there is one: metres along z, NaN where invalid [H, W].

        :raises DatasetError: naming the file that cannot be read
        """
        return None if self.load_depth is None else self.load_depth()


class Sequence(ABC):
    """
    A recording: a sized iterable of frames.

    :param name: for titles and reports
    :param ordered: false for a collection of photographs
    :param intrinsics: of all images, if the recording tells
    :param has_poses: whether frames carry ground truth poses (single ones may lack it)
    :param has_depth: whether frames carry ground truth depth (single ones may lack it)
    """

    def __init__(
        self,
        name: str,
        *,
        ordered: bool = True,
        intrinsics: Intrinsics | None = None,
        has_poses: bool = False,
        has_depth: bool = False,
    ) -> None:
        self.name = name
        self.ordered = ordered
        self.intrinsics = intrinsics
        self.has_poses = has_poses
        self.has_depth = has_depth
        self.undistorter: Undistorter | None = None  # by which images and depth have passed

    def seen(self, width: int, height: int) -> NDArray[np.bool_] | None:
        """Tell which pixels of images of a size the lens has seen [H, W]; None: all."""
        return None if self.undistorter is None else self.undistorter.seen(width, height)

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of frames; for a video, the number that its header declares."""

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Read from the start; may be called again."""


class DerivedSequence(Sequence):
    """
    A recording made of another one, whose name, order and ground truth it has.

    :param sequence: the other one
    :param intrinsics: of all images, if they are known
    """

    def __init__(self, sequence: Sequence, intrinsics: Intrinsics | None = None) -> None:
        super().__init__(
            sequence.name,
            ordered=sequence.ordered,
            intrinsics=intrinsics,
            has_poses=sequence.has_poses,
            has_depth=sequence.has_depth,
        )
        self.undistorter = sequence.undistorter
        self._sequence = sequence

    def __len__(self) -> int:
        return len(self._sequence)


class FrameList(Sequence):
    """A recording with random access; what its frames carry is told by the frames."""

    def __init__(
        self,
        name: str,
        frames: list[Frame],
        *,
        ordered: bool = True,
        intrinsics: Intrinsics | None = None,
    ) -> None:
        super().__init__(
            name,
            ordered=ordered,
            intrinsics=intrinsics,
            has_poses=any(frame.T_world_camera is not None for frame in frames),
            has_depth=any(frame.load_depth is not None for frame in frames),
        )
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    def __getitem__(self, index: int) -> Frame:
        return self._frames[index]
