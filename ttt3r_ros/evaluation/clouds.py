"""
Errors of point clouds: accuracy, completeness, Chamfer distance, normal consistency; ICP.

Clouds of long sequences have ten million points. Distances are measured *to* all of them but
*from* a random part (fixed seed), which leaves the means unbiased.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree  # type: ignore[attr-defined]  # a compiled module

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.trajectories import Similarity, umeyama

Points = NDArray[np.float64]
_NEIGHBOURS = 30  # for normals, as Open3D's default
_PIECE = 1 << 16
_QUERIES = 100_000  # points of a cloud that are measured from
_ITERATIONS = 30  # of ICP, at most
_TOLERANCE = 1e-6  # of share and root mean square of its pairs, at which it stops


@dataclass(frozen=True)
class CloudErrors:
    """Distances in metres; normal consistency as mean |cos|, averaged over both ways."""

    accuracy: float
    accuracy_median: float
    completeness: float
    completeness_median: float
    chamfer: float
    normal_consistency: float


def subsample(points: NDArray[np.floating], count: int) -> Points:
    """Draw at most `count` points without replacement, always the same ones [≤ count, 3]."""
    if len(points) > count:
        chosen = np.random.default_rng(0).choice(len(points), count, replace=False)
        points = points[np.sort(chosen)]
    return points.astype(np.float64)


def compare_clouds(
    estimate: NDArray[np.floating], truth: NDArray[np.floating], queries: int = _QUERIES
) -> CloudErrors:
    """
    Measure two clouds against each other, where they are.

    :param estimate: metres [N, 3]
    :param truth: metres [M, 3]
    :param queries: points of each cloud to measure from
    :return: accuracy is from estimate to truth, completeness from truth to estimate
    :raises DatasetError: if a cloud is empty or not finite
    """
    for name, cloud in (('estimate', estimate), ('truth', truth)):
        if not len(cloud) or not np.isfinite(cloud).all():
            raise DatasetError(f'the cloud of the {name} is empty or not finite')
    trees = _tree(estimate), _tree(truth)
    accuracy, there = _one_way(subsample(estimate, queries), *trees)
    completeness, back = _one_way(subsample(truth, queries), *trees[::-1])
    return CloudErrors(
        float(accuracy.mean()),
        float(np.median(accuracy)),
        float(completeness.mean()),
        float(np.median(completeness)),
        float(accuracy.mean() + completeness.mean()) / 2,
        (there + back) / 2,
    )


def normals_at(tree: cKDTree, points: NDArray[np.floating]) -> Points:
    """
    Estimate the surface normals of a cloud by the plane of least squares of the neighbours.

    :param tree: of the whole cloud
    :param points: where [N, 3]
    :return: unit vectors, sign arbitrary [N, 3]
    """
    count = min(_NEIGHBOURS, tree.n)
    result = np.empty((len(points), 3))
    for start in range(0, len(points), _PIECE):
        part = slice(start, start + _PIECE)
        _, index = tree.query(points[part], k=[*range(1, count + 1)])
        near = tree.data[index]
        near = near - near.mean(axis=1, keepdims=True)
        result[part] = np.linalg.eigh(near.swapaxes(1, 2) @ near)[1][..., 0]
    return result


def median_alignment(estimate: NDArray[np.floating], truth: NDArray[np.floating]) -> Similarity:
    """
    Scale and shift a cloud so that median point and median distance to it become the truth's.

    :param estimate: in the frame of its first camera, metres [N, 3]
    :param truth: in the frame of its first camera, metres [M, 3]
    :return: the similarity, without rotation
    :raises DatasetError: if a cloud is empty or has no extent
    """
    if not len(estimate) or not len(truth):
        raise DatasetError('an empty cloud cannot be aligned')
    centre, true_centre = np.median(estimate, axis=0), np.median(truth, axis=0)
    spread = float(np.median(np.linalg.norm(estimate - centre, axis=1)))
    true_spread = float(np.median(np.linalg.norm(truth - true_centre, axis=1)))
    if not spread > 0.0:
        raise DatasetError('the estimated cloud has no extent, or is not finite')
    scale = true_spread / spread
    return Similarity(scale, np.eye(3), (true_centre - scale * centre).astype(np.float64))


def icp(
    source: NDArray[np.floating], target: NDArray[np.floating], distance: float = 0.1
) -> Similarity:
    """
    Refine a rigid alignment by point-to-point ICP (Besl and McKay 1992; Open3D's criteria).

    :param source: metres [N, 3]
    :param target: metres [M, 3]
    :param distance: pairs farther apart are left out, in metres
    :return: from source to target, with scale 1
    """
    tree, points = _tree(target), subsample(source, _QUERIES)
    found = Similarity(1.0, np.eye(3), np.zeros(3))
    before = np.array([np.inf, np.inf])
    for _ in range(_ITERATIONS):
        moved = found.apply(points)
        gap, index = tree.query(moved, distance_upper_bound=distance)
        paired = np.isfinite(gap)
        if np.count_nonzero(paired) < 3:
            break
        found = umeyama(points[paired], tree.data[index[paired]], with_scale=False)
        now = np.array([paired.mean(), np.sqrt(np.mean(gap[paired] ** 2))])
        if np.all(np.abs(now - before) < _TOLERANCE):
            break
        before = now
    return found


def _one_way(points: Points, own: cKDTree, other: cKDTree) -> tuple[Points, float]:
    distance, index = other.query(points)
    cosine = np.sum(normals_at(own, points) * normals_at(other, other.data[index]), axis=1)
    return distance, float(np.abs(cosine).mean())


def _tree(points: NDArray[np.floating]) -> cKDTree:
    # Balancing costs more than it saves for clouds that are queried only once or twice.
    return cKDTree(points, balanced_tree=False, compact_nodes=False)
