"""When a frame becomes a keyframe, and refining the map when one did."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.tracking.bundle import BundleProblem, adjust
from ttt3r_ros.tracking.config import TrackerConfig
from ttt3r_ros.tracking.landmarks import LandmarkMap
from ttt3r_ros.tracking.pose import Array, viewing_rays

_LEAST_SHARED = 0.5  # of the last keyframe's points
_MOST_POINTS = 400  # that are refined together
_FEWEST_POINTS = 20
_ITERATIONS = 4
_ROBUST = 1.0  # pixels


def is_due(landmarks: LandmarkMap, frames_since: int, width: int, config: TrackerConfig) -> bool:
    """
    Decide whether the present frame becomes a keyframe.

    :param frames_since: the last keyframe
    :param width: of the image, pixels
    """
    if frames_since >= config.keyframe_interval:
        return True
    before, points = landmarks.seen[-1], landmarks.points
    known = np.isfinite(before[:, 0])
    shared = known & points.followed
    if shared.sum() < max(1.0, _LEAST_SHARED * known.sum()):
        return True
    motion = np.linalg.norm(points.pixels[shared] - before[shared], axis=1)
    # A young map is refined after less motion: its depths are still the network's alone.
    age = min(1.0, len(landmarks.seen) / config.window)
    return float(np.median(motion)) > age * config.keyframe_motion * width


def refine(landmarks: LandmarkMap, camera_matrix: Array, config: TrackerConfig) -> None:
    """Refine the latest keyframe poses and the depths of the points seen most often."""
    points, poses = landmarks.points, landmarks.T_camera_world
    seen = np.isfinite(landmarks.seen[:, :, 0])
    seen[points.anchor, np.arange(len(points))] = False  # where it says nothing about the depth
    rows = _most_seen(seen.sum(axis=0))
    if len(rows) < _FEWEST_POINTS:
        return
    point, frame = np.nonzero(seen[:, rows].T)
    problem = BundleProblem(
        T_camera_world=poses,
        fixed=max(1, len(poses) - config.free_poses),
        anchor=points.anchor[rows],
        rays=viewing_rays(points.anchor_pixels[rows], camera_matrix),
        log_depth=points.log_depth[rows],
        prior=points.prior[rows],
        prior_sigma=config.depth_sigma,
        frame=frame,
        point=point,
        measured=viewing_rays(landmarks.seen[frame, rows[point]], camera_matrix)[:, :2],
        focal=float(camera_matrix[0, 0]),
        max_error=_ROBUST,
    )
    landmarks.T_camera_world, points.log_depth[rows] = adjust(problem, _ITERATIONS)


def _most_seen(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    rows = np.argsort(-counts, kind='stable')[:_MOST_POINTS]
    return np.sort(rows[counts[rows] > 0])
