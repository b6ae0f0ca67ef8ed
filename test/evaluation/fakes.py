"""Estimators that know the answer, and recordings in memory."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from ttt3r_ros.errors import ReconstructionError
from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.io.frames import Frame, FrameList

WIDTH, HEIGHT = 64, 48
CAMERA = Intrinsics.centred(WIDTH, HEIGHT, 60.0)


class FakeView(NamedTuple):
    T_world_camera: np.ndarray
    points: np.ndarray
    mapping: ImageMapping


def whole_image(width: int = 32, height: int = 24) -> ImageMapping:
    return ImageMapping(WIDTH, HEIGHT, width, height, width / WIDTH, height / HEIGHT, 0, 0)


def position(index: int) -> np.ndarray:
    """A walk that is neither straight nor flat."""
    pose = np.eye(4)
    pose[:3, 3] = [0.05 * index, 0.2 * np.sin(index / 3), 0.1 * np.cos(index / 5)]
    return pose


def depth_map(index: int) -> np.ndarray:
    """A slanted plane that comes nearer."""
    x = np.linspace(0, 1, WIDTH, dtype=np.float32)
    return np.tile(2.0 + x - 0.01 * index, (HEIGHT, 1)).astype(np.float32)


def recording(count: int, name: str = 'fake', **changes) -> FrameList:
    """Images whose grey is their number, with pose and depth; `changes` replace fields of all."""
    frames = [
        Frame(
            index,
            index / 30,
            partial(np.full, (HEIGHT, WIDTH, 3), index, np.uint8),
            changes.get('pose', position)(index),
            changes.get('depth', lambda i: partial(depth_map, i))(index),
        )
        for index in range(count)
    ]
    return FrameList(name, frames, intrinsics=changes.get('camera', CAMERA))


class Oracle:
    """
    Reads the frame's number from the grey of the image, and knows the rest.

    :param scale: of the world that it sees
    :param noise: of positions, metres
    :param fails_at: frame at which it raises
    """

    def __init__(self, scale: float = 1.0, noise: float = 0.0, fails_at: int = -1) -> None:
        self.scale, self.noise, self.fails_at = scale, noise, fails_at
        self.cameras: list[Intrinsics | None] = []
        self._rng = np.random.default_rng(0)

    def add(self, image: np.ndarray, *, camera: Intrinsics | None = None) -> FakeView:
        index = int(image[0, 0, 0])
        if index == self.fails_at:
            raise ReconstructionError('the state has exploded')
        self.cameras.append(camera)
        mapping = whole_image()
        pose = position(index)
        pose[:3, 3] = (pose[:3, 3] + self._rng.normal(0, self.noise, 3)) * self.scale
        rays = mapping.to_output(CAMERA).rays()
        depth = depth_map(index)[::2, ::2] * self.scale
        return FakeView(pose, (rays * depth[..., None]).astype(np.float32), mapping)
