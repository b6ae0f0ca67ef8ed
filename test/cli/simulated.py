"""A reconstructor that knows the answer: a flat wall that a camera moves along."""

import argparse
from dataclasses import replace
from functools import partial
import weakref

import numpy as np

from ttt3r_ros.cli import demo
from ttt3r_ros.errors import ImageError
from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.geometry.se3 import from_translation_quat
from ttt3r_ros.io.frames import Frame, FrameList
from ttt3r_ros.view import Health, Tracking, View

CAMERA = Intrinsics.centred(40, 30, 36.0)
WALL = 2.0  # metres ahead
STEP = 0.1  # metres to the right and back again


def pose(index):
    return from_translation_quat([STEP * index, 0.05 * index * (index % 3), 0], [1, 0, 0, 0])


def wall_recording(count=6, ordered=True):
    """Images whose red value is the number of the frame, with ground truth."""
    frames = [
        Frame(
            index,
            10.0 + index,
            partial(np.full, (30, 40, 3), [index, 100, 200], np.uint8),
            pose(index),
            partial(np.full, (30, 40), WALL, np.float32),
        )
        for index in range(count)
    ]
    return FrameList('wall', frames, ordered=ordered, intrinsics=CAMERA)


def demo_arguments(*given):
    """Parse what follows `ttt3r demo`."""
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return parser.parse_args([str(part) for part in given])


class Film(FrameList):
    """
    A recording whose frames are made as it is read.

    :param frames: what they are copies of
    """

    def __init__(self, frames):
        super().__init__('film', list(frames), intrinsics=CAMERA)
        self.most = 0  # frames that were in memory at a time

    def __iter__(self):
        made = []
        for kept in super().__iter__():
            frame = replace(kept)
            made.append(weakref.ref(frame))
            self.most = max(self.most, sum(known() is not None for known in made))
            yield frame
            del frame


class Simulation:
    """
    Answers from the frame number in the image.

    :param scale: error of scale in depth and positions
    :param refused: frames that cannot be used
    :param lost: frames in which tracking is lost
    :param blurred: frames that are too blurred to be added to the map
    """

    def __init__(self, scale=1.0, refused=(), lost=(), blurred=()):
        self._scale, self._refused = scale, refused
        self._lost, self._blurred = lost, blurred
        self.cameras = []

    def add(self, image, *, camera=None):
        number = int(image[0, 0, 0])
        if number in self._refused:
            raise ImageError('the image is refused')
        self.cameras.append(camera)
        mapping = ImageMapping(40, 30, 16, 8, 0.5, 0.5, 2, 3)
        small = mapping.to_output(CAMERA)
        confidence = np.full((8, 16), 3.0, np.float32)
        confidence[:, :4] = 1.0
        T_world_camera = pose(number)
        T_world_camera[:3, 3] *= self._scale
        return View(
            index=len(self.cameras) - 1,
            T_world_camera=T_world_camera,
            points=small.rays() * np.float32(WALL * self._scale),
            confidence=confidence,
            image=np.ascontiguousarray(image[:8, :16]),
            intrinsics=small,
            input_intrinsics=CAMERA.zoomed(1.3),  # estimated without the camera that is known
            focal_spread=0.0,
            mapping=mapping,
            tracking=Tracking(
                status='lost' if number in self._lost else 'tracked',
                blurred=number in self._blurred,
            ),
            health=Health(gain=0.5, change=0.1, drift=0.2),
        )
