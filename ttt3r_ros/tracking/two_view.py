"""The motion between two images, from points followed from one to the other."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.geometry.se3 import Transform
from ttt3r_ros.tracking.pose import Array, viewing_rays

_MAX_ERROR = 1.0  # pixels from the epipolar line, or from a plane's image
_CONFIDENCE = 0.999
_LEAST_AGREEING = 0.6  # of the points; without parallax half of them lie behind a camera
_FLAT = 0.85  # of the points that agree with a motion agree with that of one plane, too
_FARTHEST = 1e6  # baselines


@dataclass(frozen=True)
class RelativePose:
    """
    How a camera moved from one image to the next.

    :param motion: from the earlier camera to the later one [4, 4]
    :param inliers: whether each point agrees [N]
    :param depth: of the points in the later camera; nan where they do not agree [N]
    """

    motion: Transform
    inliers: NDArray[np.bool_]
    depth: Array


@dataclass(frozen=True)
class _Candidate:
    """A motion, its length 1 or that in which a plane's distance is 1, and depths in that unit."""

    rotation: Array
    translation: Array
    depth: Array  # in the earlier camera [N]


def relative_pose(
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    depth: Array,
    camera_matrix: Array,
    min_inliers: int,
) -> RelativePose | None:
    """
    Solve the motion by the essential matrix (Nistér's five points), or a plane's homography.

    Rotation and direction need no depth: it gives the length, by the median of what triangulated
    points are to be multiplied by, and says which of the motions is the right one that show a
    plane in the same way.

    :param before: pixels in the earlier image [N, 2]
    :param after: pixels in the later image [N, 2]
    :param depth: about, in the earlier camera, metres [N]
    :param min_inliers: points that must agree
    :return: None where too few agree, or a motion does not show
    """
    if len(before) < min_inliers:
        return None
    pair = np.asarray(before, np.float64), np.asarray(after, np.float64)
    found = _by_plane(pair, camera_matrix)
    agree, candidates = _by_epipolar_lines(pair, camera_matrix)
    if found[0].sum() >= _FLAT * agree.sum():
        agree, candidates = found
    if agree.mean() < _LEAST_AGREEING:
        return None
    rays = viewing_rays(pair[0], camera_matrix)
    best, least = None, np.inf
    for candidate in candidates:
        with np.errstate(divide='ignore', invalid='ignore'):
            log_ratio = np.log(depth / candidate.depth)
        usable = agree & np.isfinite(log_ratio)
        if usable.sum() < max(min_inliers, _LEAST_AGREEING * agree.sum()):
            continue  # they would lie behind the camera
        log_length = float(np.median(log_ratio[usable]))
        spread = float(np.median(np.abs(log_ratio[usable] - log_length)))
        if spread < least:
            best, least = _scaled(candidate, float(np.exp(log_length)), usable, rays), spread
    return best


def _by_epipolar_lines(
    pair: tuple[Array, Array], camera_matrix: Array
) -> tuple[NDArray[np.bool_], list[_Candidate]]:
    """Return which points agree with a motion [N], and the motion, if there is one."""
    # USAC's random numbers are its own, and always the same.
    essential, mask = cv2.findEssentialMat(
        *pair, camera_matrix, cv2.USAC_ACCURATE, _CONFIDENCE, _MAX_ERROR
    )
    # OpenCV gives nothing, or several matrices on top of each other, where there is no answer.
    if essential is None or essential.shape != (3, 3):
        return np.zeros(len(pair[0]), np.bool_), []
    _, rotation, direction, mask, homogeneous = cv2.recoverPose(
        essential, *pair, camera_matrix, distanceThresh=_FARTHEST, mask=mask
    )
    with np.errstate(divide='ignore', invalid='ignore'):
        depth = homogeneous[2] / homogeneous[3]
    agree = np.asarray(mask).ravel() > 0
    turn, towards = np.asarray(rotation, np.float64), np.asarray(direction, np.float64).ravel()
    return agree, [_Candidate(turn, towards, depth)]


def _by_plane(
    pair: tuple[Array, Array], camera_matrix: Array
) -> tuple[NDArray[np.bool_], list[_Candidate]]:
    """Return which points agree with a plane's motion [N], and the motions that explain it."""
    homography, mask = cv2.findHomography(
        *pair, cv2.USAC_ACCURATE, _MAX_ERROR, confidence=_CONFIDENCE
    )
    if np.ndim(homography) != 2:  # OpenCV says None, whatever its types say
        return np.zeros(len(pair[0]), np.bool_), []
    _, *parts = cv2.decomposeHomographyMat(homography, camera_matrix)
    rays = viewing_rays(pair[0], camera_matrix)
    with np.errstate(divide='ignore'):
        candidates = [
            _Candidate(np.asarray(rotation), translation.ravel(), 1 / (rays @ normal.ravel()))
            for rotation, translation, normal in zip(*parts, strict=True)
        ]
    return np.asarray(mask).ravel() > 0, candidates


def _scaled(
    candidate: _Candidate, length: float, usable: NDArray[np.bool_], rays: Array
) -> RelativePose:
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = candidate.rotation, length * candidate.translation
    points = rays * (length * candidate.depth)[:, None]
    later = points @ motion[2, :3] + motion[2, 3]
    return RelativePose(motion, usable, np.where(usable & (later > 0), later, np.nan))
