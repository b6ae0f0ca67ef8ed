"""The metric scale of the map, from the network's depths, which disagree from frame to frame."""

from __future__ import annotations

import numpy as np

from ttt3r_ros.geometry.se3 import Transform
from ttt3r_ros.tracking.pose import Array

_FEWEST = 8  # depths that make a ratio


class NetworkScale:
    """
    How much the map is to be scaled so that it follows the network's mean scale.

    At first the mean of all frames counts, later that of about `frames` frames. So the scale
    neither jitters with the network's, nor drifts away from it.

    :param frames: over which the scale is averaged
    """

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._count = 1

    def follow(self, log_ratio: float) -> float:
        """
        Count a frame.

        :param log_ratio: of the network's depths to the map's
        :return: logarithm of what the map is to be multiplied by
        """
        self._count += 1
        return log_ratio / min(self._count, self._frames)


def rescale_pose(T_camera_world: Transform, log_scale: float, centre: Array) -> Transform:
    """
    Scale the world about a place, and cameras with it.

    :param T_camera_world: one pose or more [..., 4, 4]
    :param centre: of the scaling, in the world, metres [3]
    """
    factor, poses = np.exp(log_scale), T_camera_world.copy()
    poses[..., :3, 3] *= factor
    poses[..., :3, 3] += (factor - 1.0) * (poses[..., :3, :3] @ centre)
    return np.asarray(poses)


def median_ratio(log_ratios: Array, fewest: int = _FEWEST) -> float:
    """Return the median of what is finite, or 0 where fewer are."""
    finite = log_ratios[np.isfinite(log_ratios)]
    return float(np.median(finite)) if len(finite) >= fewest else 0.0
