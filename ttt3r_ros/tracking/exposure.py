"""
How much brighter an image is than the one before.

Flow takes a point to be as bright in both: where one image is brighter by a hundredth, points are
found some tenths of a pixel off, and by a fifth, most are not found. But cameras choose their
exposure anew for each image, and lamps flicker.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_HALF = 20  # pixels; half the square around a point, which may be found some pixels off
_DARKEST = 1.0  # grey level that is added to both: of the darkest ones noise decides
_FEWEST = 8  # points that tell something
_CLEARLY = 3.0  # standard errors between two brightnesses that are not the same
_LARGE = 0.05  # gain, log; with less, most points are found all the same
_MATTERS = 0.005  # of a gain, log: points move by about 0.1 pixels


class Exposure:
    """
    Makes an image as bright as a later one, by points that are seen in both.

    :param before: the earlier image [H, W]
    :param after: the later one [H, W]
    """

    def __init__(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> None:
        self._before = before
        self._sums = _sums(before), _sums(after)
        self._log_gain = 0.0  # of the later image

    def guess(
        self, pixels: NDArray[np.floating], there: NDArray[np.floating]
    ) -> NDArray[np.uint8]:
        """
        Change the earlier image where it clearly is much brighter or darker.

        Less is better told by points that were found: all guesses may be off alike.

        :param pixels: of points in the earlier image [N, 2]
        :param there: about where they are in the later one [N, 2]
        :return: the same image where it may be as bright [H, W]
        """
        log_gain, error = self._measure(pixels, there)
        clearly = abs(log_gain) > max(_LARGE, _CLEARLY * error)
        self._log_gain = log_gain if clearly else 0.0
        return self._lit()

    def correct(
        self, pixels: NDArray[np.floating], there: NDArray[np.floating]
    ) -> NDArray[np.uint8] | None:
        """
        Change the earlier image again, by points that were found with what was returned last.

        :param pixels: of points in the earlier image [N, 2]
        :param there: where they are in the later one [N, 2]
        :return: None where that was as bright already, or too few points tell [H, W]
        """
        log_gain, error = self._measure(pixels, there)
        if abs(log_gain - self._log_gain) < max(_MATTERS, _CLEARLY * error):
            return None
        self._log_gain = log_gain
        return self._lit()

    def _measure(
        self, pixels: NDArray[np.floating], there: NDArray[np.floating]
    ) -> tuple[float, float]:
        """Return the logarithm of the gain, and its standard error."""
        if len(pixels) < _FEWEST:
            return 0.0, np.inf
        before, after = self._sums
        ratios = np.log(_mean(after, there) / _mean(before, pixels))
        median = float(np.median(ratios))
        spread = 1.48 * float(np.median(np.abs(ratios - median)))
        return median, spread / np.sqrt(len(ratios))

    def _lit(self) -> NDArray[np.uint8]:
        if self._log_gain == 0.0:
            return self._before
        return np.asarray(cv2.convertScaleAbs(self._before, alpha=np.exp(self._log_gain)))


def _sums(gray: NDArray[np.uint8]) -> NDArray[np.int32]:
    # sums of more than 8 megapixels may run over, but not differences between them
    return np.asarray(cv2.integral(gray), np.int32)


def _mean(sums: NDArray[np.int32], pixels: NDArray[np.floating]) -> NDArray[np.float64]:
    """
    Average an image around pixels.

    :param sums: integral of the image [H + 1, W + 1]
    """
    size = np.array(sums.shape[::-1]) - 1
    middle = np.rint(pixels).astype(int)
    low, high = (middle - _HALF).clip(0, size - 1), (middle + _HALF + 1).clip(1, size)
    (left, top), (right, bottom) = low.T, high.T
    total = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return np.asarray(total / (high - low).prod(axis=1) + _DARKEST)
