"""
The focal length of a camera from the straight lines of a single image.

What people build has edges in three directions at right angles (a Manhattan world: Coughlan and
Yuille, 1999), whose images meet in three vanishing points; only with the right focal length do
these stand at right angles, too (Caprile and Torre, 1990). For each of a row of focal lengths,
three directions at right angles are drawn from the segments of the image, and it is counted how
many segments the best of them explain. Where nothing is built so, all focal lengths explain
about as much, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.tracking.pose import Array

_STEP = 0.07  # between the focal lengths, log
LOG_FOCALS: Array = np.arange(np.log(0.35), np.log(2.0), _STEP)
"""Focal lengths that are compared, log of parts of the image's width."""

_SMOOTHING = 1.0  # pixels, before segments are sought
_MOST_SEGMENTS, _FEWEST_SEGMENTS = 120, 8
_SHORTEST = 0.04  # segment, part of the width
_TRIALS = 300  # triples of segments, each of which makes three directions
_ANGLE, _PIXELS = np.radians(1.0), 1.0  # by which a segment may miss its vanishing point
_DEGENERATE = 0.02  # sine of the angle between planes that tell no direction
_SURE = 100.0  # log-likelihood of explaining everything instead of nothing, of many images
_ALIKE = 0.7  # of images, which see the same lines: one counts as 1 / (1 + 0.7) of many
_FALSE = 0.03  # probability that what the lines say is wrong: things at other angles
_PARTS = 2  # in which focal lengths are judged
_MOST_IMAGES = 12  # in the mean; later ones weigh no less, so that a zoom is followed


def segments(gray: NDArray[np.uint8]) -> Array:
    """
    Find straight edges (LSD: Grompone von Gioi et al., 2010), the longest first.

    :param gray: [H, W]
    :return: ends x1, y1, x2, y2 in pixels [N, 4]
    """
    smooth = cv2.GaussianBlur(gray, (0, 0), _SMOOTHING)
    found = cv2.createLineSegmentDetector(cv2.LSD_REFINE_NONE).detect(smooth)[0]
    # OpenCV says None where there are none, whatever its types say.
    ends = np.asarray(() if found is None else found, np.float64).reshape(-1, 4)
    length = np.linalg.norm(ends[:, 2:] - ends[:, :2], axis=1)
    order = np.argsort(-length, kind='stable')[:_MOST_SEGMENTS]
    return np.asarray(ends[order[length[order] > _SHORTEST * gray.shape[1]]])


def explained(
    ends: Array, width: int, height: int, log_focals: Array = LOG_FOCALS
) -> Array | None:
    """
    Return how much of an image three directions at right angles explain.

    The principal point is taken to be the image's middle.

    :param ends: of segments, see `segments` [N, 4]
    :param log_focals: log of parts of the image's width [F]
    :return: part of the segments' length, for each focal length [F]; None where there are too few
    """
    if len(ends) < _FEWEST_SEGMENTS:
        return None
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    first, last = (ends[:, :2] - middle) / width, (ends[:, 2:] - middle) / width
    length = np.linalg.norm(last - first, axis=1)
    share = length / length.sum()
    tolerance = np.sin(np.minimum(np.maximum(_ANGLE, _PIXELS / (length * width)), np.pi / 2))
    # the same triples for all: else one focal length would be luckier than another
    triples = np.random.default_rng(0).choice(len(ends), (_TRIALS, 3), p=share)
    return np.array(
        [_best(first / f, last / f, triples, share, tolerance) for f in np.exp(log_focals)]
    )


def _best(
    first: Array, last: Array, triples: NDArray[np.int64], share: Array, tolerance: Array
) -> float:
    """Return the part of the segments that the best of the directions explain."""
    one = np.ones((len(first), 1))
    planes = np.cross(np.hstack([first, one]), np.hstack([last, one]))
    normals = planes / np.linalg.norm(planes, axis=1, keepdims=True)
    # two segments meet in the first direction; the third segment tells one at a right angle to it
    a, sure_a = _unit(np.cross(normals[triples[:, 0]], normals[triples[:, 1]]))
    b, sure_b = _unit(np.cross(normals[triples[:, 2]], a))
    sure = sure_a & sure_b
    if not sure.any():
        return 0.0
    directions = np.concatenate([a[sure], b[sure], np.cross(a, b)[sure]]).astype(np.float32)
    # sine of the angle between a segment and the way from its middle to the vanishing point
    length = np.linalg.norm(last - first, axis=1)
    scaled = (planes / (length * tolerance)[:, None]).astype(np.float32)
    middle = ((first + last) / 2).astype(np.float32)
    miss = (directions @ scaled.T) ** 2
    x, y, z = directions.T[:, :, None]
    miss /= (x - z * middle[:, 0]) ** 2 + (y - z * middle[:, 1]) ** 2 + np.float32(1e-12)
    best = np.minimum(miss.reshape(3, -1, len(first)).min(axis=0), 1)
    return 1.0 - float((best @ share.astype(np.float32)).min())


def _unit(vectors: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return vectors of length 1 [N, 3], and which were long enough to have a direction [N]."""
    length = np.linalg.norm(vectors, axis=1)
    return vectors / np.maximum(length, 1e-9)[:, None], length > _DEGENERATE


class VanishingEstimate:
    """What the lines of the images so far say of the focal length."""

    def __init__(self) -> None:
        self._mean = np.zeros(len(LOG_FOCALS))
        self.images = 0  # that were looked at

    def look(self, gray: NDArray[np.uint8]) -> None:
        """
        Count another image.

        :param gray: [H, W]
        """
        for _ in self.look_in_parts(gray):
            pass

    def look_in_parts(self, gray: NDArray[np.uint8]) -> Iterator[None]:
        """Do what `look` does in parts of some 15 ms; the image counts after the last."""
        height, width = gray.shape
        ends, shares = segments(gray), list[Array]()
        for log_focals in np.array_split(LOG_FOCALS, _PARTS):
            yield
            found = explained(ends, width, height, log_focals)
            # what says nothing makes the others say less
            shares.append(np.zeros(len(log_focals)) if found is None else found)
        self.images += 1
        self._mean += (np.concatenate(shares) - self._mean) / min(self.images, _MOST_IMAGES)

    @property
    def score(self) -> Array:
        """Log-likelihood of `LOG_FOCALS`, where the lines do stand at right angles [F]."""
        images = min(self.images, _MOST_IMAGES)
        return _SURE * images / (images + _ALIKE) * self._mean

    def log_likelihood(self, log_focals: Array) -> Array:
        """
        Judge focal lengths; with a small probability the lines say nothing of them.

        :param log_focals: log of parts of the image's width [N]
        :return: log-likelihood of each, but for a constant [N]
        """
        score = self.score
        density = np.exp(score - score.max())
        density = (1 - _FALSE) * density / density.sum() + _FALSE / len(density)
        return np.asarray(np.interp(log_focals, LOG_FOCALS, np.log(density)))
