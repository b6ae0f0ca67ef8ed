"""The camera as the network sees it, smoothed over time."""

from __future__ import annotations

from collections import deque

import numpy as np

from ttt3r_ros.geometry.camera import Intrinsics

_WINDOW = 31  # frames
_GAUSSIAN = 1.4826  # standard deviation over median absolute deviation, for a Gaussian


class IntrinsicsSmoother:
    """
    Running median of estimated intrinsics: a frame that is far off does not move it.

    A change of the image's size starts it anew.
    """

    def __init__(self) -> None:
        self._recent: deque[Intrinsics] = deque(maxlen=_WINDOW)

    def update(self, estimate: Intrinsics) -> Intrinsics:
        """
        Take the estimate of one frame.

        :return: the smoothed intrinsics
        """
        last = self._recent[-1] if self._recent else estimate
        if (last.width, last.height) != (estimate.width, estimate.height):
            self._recent.clear()
        self._recent.append(estimate)
        table = np.array([(c.fx, c.fy, c.cx, c.cy) for c in self._recent])
        fx, fy, cx, cy = np.median(table, axis=0).tolist()
        return Intrinsics(estimate.width, estimate.height, fx, fy, cx, cy)

    @property
    def spread(self) -> float:
        """Robust standard deviation of the focal length, as a fraction of it."""
        if not self._recent:
            return float('nan')
        focals = np.array([camera.fx for camera in self._recent])
        median = float(np.median(focals))
        return _GAUSSIAN * float(np.median(np.abs(focals - median))) / median

    def clear(self) -> None:
        """Forget all estimates."""
        self._recent.clear()
