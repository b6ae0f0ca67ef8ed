"""Tells when nothing can be seen: no contrast, mere noise, or a collapse of confidence."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

_LEAST_CONTRAST = 8  # levels of a colour between the darkest and the brightest twentieth
_LEAST_LIKENESS = 0.3  # of neighbouring pixels; rooms and recordings have 0.87 and more, noise 0.1
_FRAMES = 60  # whose confidence is taken as usual
_LEAST = 10  # of them, before anything can be called unusual
_COLLAPSED = 0.2  # of what is usual, above the 1 that every pixel has


def shows_nothing(image: NDArray[np.uint8]) -> bool:
    """
    Tell a covered, dark or blinded camera by its lack of contrast, and a broken one by its noise.

    One colour of three that shows something is enough.

    :param image: RGB as the network sees it [h, w, 3]
    """
    # green first, which nearly always tells; under coloured light another one may
    return all(_is_plain_or_noise(image[..., channel]) for channel in (1, 0, 2))


def _is_plain_or_noise(channel: NDArray[np.uint8]) -> bool:
    low, high = np.percentile(channel, [5, 95])
    return bool(high - low < _LEAST_CONTRAST) or _likeness(channel) < _LEAST_LIKENESS


def _likeness(channel: NDArray[np.uint8]) -> float:
    """Return the correlation of each pixel with its neighbour, along rows or columns."""
    values = channel.astype(np.float32)
    values -= values.mean()
    along = ((values[:, 1:] * values[:, :-1]).mean(), (values[1:] * values[:-1]).mean())
    return float(max(along) / max(values.var(), 1e-6))


class ConfidenceWatch:
    """
    Compares the mean confidence of a frame with that of the frames before.

    How much confidence tells depends on the weights: that of the shipped ones hardly changes. What
    is usual is learnt from good frames alone: no collapse, however long, becomes the new normal.
    """

    def __init__(self) -> None:
        self._usual: deque[float] = deque(maxlen=_FRAMES)

    def reset(self) -> None:
        """Forget what is usual."""
        self._usual.clear()

    def collapsed(self, confidence: NDArray[np.float32]) -> bool:
        """
        Judge a frame.

        :param confidence: at least 1 [H, W]
        :return: whether nothing in it can be trusted
        """
        excess = float(confidence.mean()) - 1.0
        if len(self._usual) >= _LEAST and excess < _COLLAPSED * float(np.median(self._usual)):
            return True
        self._usual.append(excess)
        return False
