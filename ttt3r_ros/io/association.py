"""Pairing of what two sensors recorded, by time."""

from __future__ import annotations

from collections.abc import Sequence
import logging

import numpy as np
from numpy.typing import ArrayLike

from ttt3r_ros.geometry.se3 import Transform

MAX_DIFFERENCE = 0.02  # s, the TUM benchmark's own limit
_logger = logging.getLogger(__name__)


def associate(
    first: ArrayLike, second: ArrayLike, max_difference: float = MAX_DIFFERENCE
) -> dict[int, int]:
    """
    Pair stamps greedily, closest first, as the TUM RGB-D benchmark does; nothing is interpolated.

    :param first: seconds, in any order [N]
    :param second: seconds, in any order [M]
    :param max_difference: pairs must be closer than this, in seconds
    :return: index into `second` for each index into `first` that has a partner
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    order = np.argsort(b, kind='stable')
    low = np.searchsorted(b[order], a - max_difference, side='left')
    high = np.searchsorted(b[order], a + max_difference, side='right')
    candidates = [
        (abs(a[i] - b[j]), i, int(j))
        for i in range(len(a))
        for j in order[low[i] : high[i]]
        if abs(a[i] - b[j]) < max_difference
    ]
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted(candidates):
        if i not in pairs and j not in taken:
            pairs[i] = j
            taken.add(j)
    return pairs


def pair_truth(what: str, images: ArrayLike, truths: ArrayLike) -> dict[int, int]:
    """
    Pair images with ground truth, and warn if there is none for any.

    :param what: names the ground truth in the warning
    :param images: stamps in seconds [N]
    :param truths: stamps in seconds [M]
    :return: index into `truths` for each image that has a partner
    """
    pairs = associate(images, truths)
    if not pairs:
        _logger.warning(
            '%s: none of %d lies within %g s of an image, so nothing is compared with it',
            what, np.size(truths), MAX_DIFFERENCE,
        )  # fmt: skip
    return pairs


def pair_poses(
    what: str, images: ArrayLike, stamps: ArrayLike, poses: Sequence[Transform]
) -> dict[int, Transform]:
    """
    Pair images with true poses; those that are not finite count as none, with a warning.

    :param what: names the poses in the warnings
    :param images: stamps in seconds [N]
    :param stamps: of the poses, in seconds [M]
    :param poses: M rigid motions [4, 4]
    :return: pose of each image that has one
    """
    found = {index: poses[other] for index, other in pair_truth(what, images, stamps).items()}
    known = {index: pose for index, pose in found.items() if np.isfinite(pose).all()}
    if len(known) < len(found):
        _logger.warning(
            '%s: %d of %d poses are not finite: their images have none',
            what, len(found) - len(known), len(found),
        )  # fmt: skip
    return known
