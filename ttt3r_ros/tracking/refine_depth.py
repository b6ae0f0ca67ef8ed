"""
A smooth correction of one frame's depth by the points that are triangulated in it.

Kriging (Gaussian process regression; Rasmussen and Williams, 2006, Algorithm 2.1) of the log-ratio
between known and predicted depth, with a variance for each point. The kernel is a product of one
along x and one along y, so that the whole field is one product of two thin matrices.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from ttt3r_ros.tracking.pose import Array

_FEWEST = 20  # points; fewer change nothing
_LENGTH = 0.15  # over which corrections are alike, part of the longer side
_SIZE = 0.25  # standard deviation of the correction from place to place, log
_COMMON = 0.1  # of what is common to the whole map, beyond the scale that it has been given
_NOISE = 0.1  # of one point beside its own error: it lies on an edge, the map is coarse
_ROBUST = 0.2  # log-ratio off the field that counts half (Cauchy): the point moves, or is wrong
_ROUNDS = 3  # of reweighting
_USELESS = 1.0  # standard deviation of a log-depth that says nothing


def refine_depth(
    points: NDArray[np.float32], pixels: Array, depth: Array, sigma: Array
) -> NDArray[np.float32]:
    """
    Multiply a pointmap by a smooth field so that it agrees with known depths.

    Far from known depths, where "far" is a sixth of the image, only what all have in common is
    corrected.

    :param points: camera frame, metres [h, w, 3]
    :param pixels: of the points whose depth is known, in the pointmap [N, 2]
    :param depth: their depths, metres [N]
    :param sigma: standard deviations of the depths' logarithms [N]
    :return: corrected points; the same where fewer than 20 points lie inside [h, w, 3]
    """
    height, width = points.shape[:2]
    at = pixels.astype(np.float32)
    usable = ((at > -0.5) & (at < [width - 0.5, height - 0.5])).all(axis=1)
    usable &= (depth > 0) & (sigma < _USELESS)
    if usable.sum() < _FEWEST:
        return points
    at, depth, sigma = at[usable], depth[usable], sigma[usable]
    z = cv2.remap(
        np.ascontiguousarray(points[..., 2]),
        at[None, :, 0],
        at[None, :, 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )[0]
    log_ratio = np.log(depth) - np.log(np.maximum(z, 1e-3))
    length = _LENGTH * max(height, width)
    kernel = _kernel(at[:, 0], at[:, 0], length) * _kernel(at[:, 1], at[:, 1], length)
    weights = _fit(_SIZE**2 * kernel + _COMMON**2, log_ratio, _NOISE**2 + sigma**2)
    across = _kernel(at[:, 0], np.arange(width), length)
    down = _kernel(at[:, 1], np.arange(height), length)
    field = _SIZE**2 * (down * weights[:, None]).T @ across + _COMMON**2 * weights.sum()
    return np.asarray(points * np.exp(field)[..., None], np.float32)


def _kernel(a: NDArray[np.number], b: NDArray[np.number], length: float) -> Array:
    """Return how alike corrections are at coordinates a [N] and b [M]: Gaussian [N, M]."""
    distance = (a[:, None].astype(np.float64) - b[None]) / length
    return np.asarray(np.exp(-0.5 * distance * distance))


def _fit(covariance: Array, log_ratio: Array, variance: Array) -> Array:
    """
    Return the points' weights in the field, outliers being weighed down.

    :param covariance: of the field between the points [N, N]
    :param log_ratio: what the field is at the points [N]
    :param variance: of these [N]
    """
    trust, weights = np.ones(len(log_ratio)), np.zeros(len(log_ratio))
    for _ in range(_ROUNDS):
        factor = cho_factor(covariance + np.diag(variance / trust), check_finite=False)
        solved = cho_solve(factor, log_ratio, check_finite=False)  # type: ignore[no-untyped-call]
        weights = np.asarray(solved)
        trust = 1.0 / (1.0 + ((log_ratio - covariance @ weights) / _ROBUST) ** 2)
    return weights
