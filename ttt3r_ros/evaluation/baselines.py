"""
Results that cost nothing: what a network has to beat.

They look at no image. After the alignments of the protocols, a camera that never moves scores like
the best fixed position, and one that moves straight on like the best line at constant speed.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.geometry.se3 import Transform
from ttt3r_ros.synthetic.sequence import render_sequence
from ttt3r_ros.synthetic.settings import train_seed

Float32 = NDArray[np.float32]
_FOCAL = 0.6  # over the image width, of the guessed camera
_SCENES = 200  # that the mean map is taken of
_MAP_SIZE = (48, 36)  # pixels


class Guess(NamedTuple):
    """What a baseline says of an image; named as in `View`."""

    T_world_camera: Transform
    points: Float32
    mapping: ImageMapping


class Baseline:
    """
    Says the same of every image.

    :param step: metres from frame to frame, along x
    :param depth: the fixed depth map, metres [h, w]
    """

    def __init__(self, step: float, depth: Float32) -> None:
        self._step, self._count = step, 0
        height, width = depth.shape
        camera = Intrinsics.centred(width, height, _FOCAL * width)
        self._points = camera.rays() * depth[..., None]

    def add(self, image: NDArray[np.uint8], *, camera: Intrinsics | None = None) -> Guess:
        """Take the next image [H, W, 3]; neither it nor its camera matter."""
        del camera
        pose = np.eye(4)
        pose[0, 3] = self._step * self._count
        self._count += 1
        (height, width), (rows, columns) = image.shape[:2], self._points.shape[:2]
        scales = (columns / width, rows / height)
        return Guess(pose, self._points, ImageMapping(width, height, columns, rows, *scales, 0, 0))


@lru_cache(maxsize=1)
def training_mean_map() -> Float32:
    """Average the depth of the first frames of the small model's training scenes [36, 48]."""
    scenes = (render_sequence(train_seed(i), 1, *_MAP_SIZE).depth[0] for i in range(_SCENES))
    return mean_map(scenes)


def constant_map(depth: Float32) -> Float32:
    """Return a map of the same depth everywhere: the geometric mean of another [h, w]."""
    return np.full_like(depth, np.exp(np.log(depth).mean()))


def mean_map(depths: Iterable[NDArray[np.floating]]) -> Float32:
    """
    Average depth maps, in the logarithm, pixel by pixel.

    :param depths: maps of one size, metres, NaN where unknown; at least one [H, W]
    :return: the fixed map; where no map knows a pixel, the mean of the known ones [H, W]
    :raises DatasetError: if nothing is known
    """
    total = count = np.zeros((1, 1))
    for depth in depths:
        valid = depth > 0.0
        total = total + np.log(depth, out=np.zeros(depth.shape), where=valid)
        count = count + valid
    if not count.any():
        raise DatasetError('no valid depth to take the mean map of')
    overall = total.sum() / count.sum()
    mean = np.divide(total, count, out=np.full(total.shape, overall), where=count > 0)
    return np.asarray(np.exp(mean), dtype=np.float32)
