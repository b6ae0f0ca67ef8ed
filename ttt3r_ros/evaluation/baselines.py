"""
Results that cost nothing: what a network has to beat.

They are given the best possible parameters by the ground truth itself, so they flatter themselves.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.geometry.se3 import Transform

Float32 = NDArray[np.float32]


def static_camera(truth: Transform) -> Transform:
    """Return a camera that never moves, at the mean position [N, 4, 4]."""
    poses = np.tile(truth[:1].astype(np.float64), (len(truth), 1, 1))
    poses[:, :3, 3] = truth[:, :3, 3].mean(axis=0)
    return poses


def straight_line(truth: Transform) -> Transform:
    """Return the best straight path at constant speed per frame, without rotation [N, 4, 4]."""
    time = np.arange(len(truth), dtype=np.float64)
    basis = np.stack([np.ones_like(time), time], axis=1)
    solution = np.linalg.lstsq(basis, truth[:, :3, 3], rcond=None)[0]
    poses = static_camera(truth)
    poses[:, :3, 3] = basis @ solution
    return poses


def best_constant(truth: NDArray[np.floating]) -> float:
    """
    Find the one depth of least absolute relative error.

    :param truth: valid depths, metres [N]
    :return: metres: the median of the depths, each weighted by its inverse
    :raises DatasetError: if there is no depth
    """
    if not len(truth):
        raise DatasetError('no valid depth to take the best constant of')
    ordered = np.sort(truth).astype(np.float64)
    weight = np.cumsum(1.0 / ordered)
    return float(ordered[np.searchsorted(weight, weight[-1] / 2)])


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
