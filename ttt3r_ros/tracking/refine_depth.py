"""A smooth correction of one frame's depth by the points that are triangulated in it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.tracking.pose import Array

_COLUMNS, _ROWS = 5, 4  # of the grid of corrections; between its nodes they are interpolated
_FEWEST = 20  # points; fewer change nothing
_NOISE = 0.1  # of one point's log-ratio
_ROBUST = 0.2  # log-ratio that counts half (Cauchy): the point may lie on an edge
_BEND = 0.1  # expected change of slope from node to node
_SIZE = 0.3  # expected correction where no point speaks
_ROUNDS = 4  # of reweighting


def refine_depth(points: NDArray[np.float32], pixels: Array, depth: Array) -> NDArray[np.float32]:
    """
    Multiply a pointmap by a smooth field so that it agrees with known depths.

    The logarithm of the field is bilinear on a coarse grid, fitted by reweighted least squares
    with a prior for no correction and for no bend.

    :param points: camera frame, metres [h, w, 3]
    :param pixels: of the points whose depth is known, in the pointmap [N, 2]
    :param depth: their depths, metres [N]
    :return: corrected points; the same where fewer than 20 points lie inside [h, w, 3]
    """
    height, width = points.shape[:2]
    at = pixels.astype(np.float32)
    inside = ((at > -0.5) & (at < [width - 0.5, height - 0.5])).all(axis=1) & (depth > 0)
    if inside.sum() < _FEWEST:
        return points
    at, depth = at[inside], depth[inside]
    z = cv2.remap(
        np.ascontiguousarray(points[..., 2]),
        at[None, :, 0],
        at[None, :, 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )[0]
    log_ratio = np.log(depth) - np.log(np.maximum(z, 1e-3))
    along_x = _hat(at[:, 0].astype(np.float64), width, _COLUMNS)
    along_y = _hat(at[:, 1].astype(np.float64), height, _ROWS)
    design = np.einsum('nr,nc->nrc', along_y, along_x).reshape(len(at), -1)
    grid = _fit(design, log_ratio).reshape(_ROWS, _COLUMNS)
    all_x = _hat(np.arange(width, dtype=np.float64), width, _COLUMNS)
    all_y = _hat(np.arange(height, dtype=np.float64), height, _ROWS)
    field = np.exp(all_y @ grid @ all_x.T)
    return np.asarray(points * field[..., None], np.float32)


def _hat(position: Array, size: int, nodes: int) -> Array:
    """Return the weights of linear interpolation between nodes, ends included [N, nodes]."""
    place = np.clip(position / max(1, size - 1), 0.0, 1.0) * (nodes - 1)
    return np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(nodes)))


def _fit(design: Array, log_ratio: Array) -> Array:
    prior = np.eye(design.shape[1]) / _SIZE**2 + _bends().T @ _bends() / _BEND**2
    weight = np.ones(len(log_ratio))
    grid: Array = np.zeros(design.shape[1])
    for _ in range(_ROUNDS):
        weighted = design * (weight / _NOISE**2)[:, None]
        normal, target = weighted.T @ design + prior, weighted.T @ log_ratio
        grid = np.asarray(np.linalg.solve(normal, target))
        weight = 1.0 / (1.0 + ((log_ratio - design @ grid) / _ROBUST) ** 2)
    return grid


def _bends() -> Array:
    """Return the second differences of the grid along rows and columns [D, nodes]."""
    nodes = np.eye(_ROWS * _COLUMNS).reshape(_ROWS, _COLUMNS, -1)
    across = np.diff(nodes, 2, axis=1).reshape(-1, _ROWS * _COLUMNS)
    down = np.diff(nodes, 2, axis=0).reshape(-1, _ROWS * _COLUMNS)
    return np.concatenate([across, down])
