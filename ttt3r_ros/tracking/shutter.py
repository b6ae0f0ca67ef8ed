"""
How long a camera takes to read out an image, from how its points move while it turns.

Most cameras read an image out row by row: lower rows see the camera where it will be a little
later, and the image shears and stretches with its own flow. What a solved pose leaves over of the
pixels is compared with that. Only the flow that turning causes counts: that of a moving camera
hangs on depths, which are uncertain themselves.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.geometry.se3 import Transform
from ttt3r_ros.tracking.pose import Array, viewing_rays

_PRIOR_SIGMA = 0.8  # of the readout time that is given at first
_LEAST_NOISE = 0.2  # pixels; no corner is followed better
_TRUST = 0.02  # part of an image's weight: the same points count in many images
_MOST_WEIGHT = 1000.0  # what came before weighs no more, so that a change is followed
_LONGEST = 1.0  # the time between two images


def readout_shift(
    pixels: NDArray[np.floating], before: NDArray[np.floating], height: int
) -> Array:
    """
    Find how far points move between the exposure of their row and that of the middle row.

    :param pixels: where they are seen [N, 2]
    :param before: where they were one frame earlier [N, 2]
    :param height: of the image, pixels
    :return: to be taken from the pixels, if the readout takes as long as a frame [N, 2]
    """
    return np.asarray((pixels[:, 1:] / height - 0.5) * (pixels - before), dtype=np.float64)


class ShutterEstimate:
    """
    The readout time of a camera, as part of the time between images.

    :param start: what is thought before anything is seen; negative: read from the bottom
    """

    def __init__(self, start: float) -> None:
        self._weight = _PRIOR_SIGMA**-2
        self.readout = start

    def learn(
        self,
        points: Array,
        pixels: NDArray[np.floating],
        before: NDArray[np.floating],
        at_first: Array,
        T_camera_world: Transform,
        motion: Transform,
        camera_matrix: Array,
        height: int,
    ) -> None:
        """
        Compare points with where the pose of their image puts them.

        A small change of the pose, of the readout time, and of what a wrong depth does to the flow
        of a moving camera are solved together, by weighted least squares.

        :param points: that agree with the pose, in the world, metres [N, 3]
        :param pixels: where they are seen [N, 2]
        :param before: where they were one frame earlier [N, 2]
        :param at_first: `readout_shift` of the image in which they were first seen: a camera that
            goes on turning in the same way shows nothing [N, 2]
        :param T_camera_world: the pose, solved with the readout time in force [4, 4]
        :param motion: from the camera of the frame before to this one [4, 4]
        :param height: of the image, pixels
        """
        local = points @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
        zero = np.zeros(3)
        seen, jacobian = cv2.projectPoints(local, zero, zero, camera_matrix, None)
        shift = readout_shift(pixels, before, height)
        error = (pixels - self.readout * shift - seen[:, 0]).ravel()
        rays = viewing_rays(pixels, camera_matrix) @ motion[:3, :3]
        turned = rays[:, :2] / rays[:, 2:] * camera_matrix[[0, 1], [0, 1]] + camera_matrix[:2, 2]
        by_turning = readout_shift(pixels, turned, height)
        by_moving = shift - by_turning
        columns = np.column_stack([(shift - at_first).ravel(), by_moving.ravel(), jacobian[:, :6]])
        noise = max(_LEAST_NOISE, 1.48 * float(np.median(np.abs(error))))
        weight = 1 / (1 + (error / (2 * noise)) ** 2) / noise**2
        weighted = columns.T * weight
        try:
            inverse = np.linalg.inv(weighted @ columns + 1e-6 * np.eye(columns.shape[1]))
        except np.linalg.LinAlgError:  # all points are in one place
            return
        step = float(inverse[0] @ weighted @ error)
        turning, moving = np.sum(by_turning**2), np.sum(by_moving**2)
        share = float(turning / (turning + moving + 1e-9))
        gain = _TRUST * share**2 / float(inverse[0, 0])
        self._weight = min(self._weight + gain, _MOST_WEIGHT)
        change = step * min(1.0, gain / self._weight)
        self.readout = float(np.clip(self.readout + change, -_LONGEST, _LONGEST))
