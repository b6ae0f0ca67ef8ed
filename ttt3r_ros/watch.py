"""Tells when the network sees nothing it knows: its confidence has collapsed."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

_FRAMES = 60  # whose confidence is taken as usual
_LEAST = 10  # of them, before anything can be called unusual
_COLLAPSED = 0.2  # of what is usual, above the 1 that every pixel has


class ConfidenceWatch:
    """
    Compares the mean confidence of a frame with that of the frames before.

    With the shipped network, a black, grey or covered view has 0.14 to 0.17 times the usual excess
    over 1, an overexposed or blurred one 0.3 and more. What is usual is learnt from good frames
    alone, so that no collapse, however long, becomes the new normal.
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
