"""When a frame becomes a keyframe, and refining the map when one did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.geometry.se3 import inverse
from ttt3r_ros.tracking.bundle import BundleProblem, adjust, settle
from ttt3r_ros.tracking.config import TrackerConfig
from ttt3r_ros.tracking.landmarks import LandmarkMap
from ttt3r_ros.tracking.pose import Array, solve_pose, viewing_rays

_LEAST_SHARED = 0.5  # of the last keyframe's points
_AT_REST = 0.002  # motion of the points, as part of the image's width
_GROWN = 3  # windows of keyframes, after which they have their full distance
_MOST_POINTS = 120  # that are refined together; the depths of the others follow
_OF_EACH = 30  # of them, at least, that a keyframe sees whose pose is refined
_FEWEST_POINTS = 20
_ITERATIONS = 3
_CLEARLY_BETTER = 0.85  # cost of another start; without parallax all are nearly the same
_TRIAL_ITERATIONS = 2  # of each start, before the best goes on
_ROBUST = 1.0  # pixels
_FAR_OFF = 10.0  # pixels; larger errors are left out where a pose starts anew


def is_due(landmarks: LandmarkMap, frames_since: int, width: int, config: TrackerConfig) -> bool:
    """
    Decide whether the present frame becomes a keyframe.

    :param frames_since: the last keyframe
    :param width: of the image, pixels
    """
    before, points = landmarks.seen[-1], landmarks.points
    known = np.isfinite(before[:, 0])
    shared = known & points.followed
    if shared.sum() < max(1.0, _LEAST_SHARED * known.sum()):
        return True
    distances = np.linalg.norm(points.pixels[shared] - before[shared], axis=1)
    motion = float(np.median(distances)) / width
    # A camera at rest would fill the window with one view, and all parallax would be forgotten.
    if motion < _AT_REST:
        return False
    if frames_since >= config.keyframe_interval:
        return True
    # A young map is refined after less motion: its depths are still the network's, more or less.
    age = min(1.0, (landmarks.keyframes + 1) / (_GROWN * config.window))
    return motion > age * config.keyframe_motion


def refine(
    landmarks: LandmarkMap, camera_matrix: Array, config: TrackerConfig
) -> BundleProblem | None:
    """
    Refine the latest keyframe poses by the points seen most often, and all depths.

    In a young map all poses but the first are refined: they were solved from the network's depths.

    :return: what was solved, from the solution on; None where too few points are known
    """
    seen = np.isfinite(landmarks.seen[:, :, 0])
    anchor = landmarks.points.anchor
    seen[anchor, np.arange(len(anchor))] = False  # where it says nothing about the depth
    free = _free_poses(landmarks, config)
    order = _ordered(seen, free)
    if len(order) < _FEWEST_POINTS:
        return None
    rows, others = np.sort(order[:_MOST_POINTS]), np.sort(order[_MOST_POINTS:])
    problem = _problem(landmarks, seen, rows, free, camera_matrix, config)
    if landmarks.young:
        problem = _best_start(problem)
    best = adjust(problem, _ITERATIONS)
    landmarks.T_camera_world = best.T_camera_world
    landmarks.points.log_depth[rows] = best.log_depth
    if len(others):
        rest = _problem(landmarks, seen, others, free, camera_matrix, config)
        landmarks.points.log_depth[others] = settle(rest)
    return replace(problem, T_camera_world=best.T_camera_world, log_depth=best.log_depth)


def _free_poses(landmarks: LandmarkMap, config: TrackerConfig) -> int:
    most = len(landmarks.T_camera_world) - 1
    return most if landmarks.young else min(most, config.free_poses)


def _ordered(seen: NDArray[np.bool_], free: int) -> NDArray[np.int64]:
    """
    Put the points that were seen most often first, after some of those of each free keyframe.

    Where the camera turns fast, those seen most often were in sight for some keyframes only:
    without the others nothing would hold the other poses.

    :param seen: which keyframe sees which point [F, L]
    :param free: keyframes, the latest, whose poses are refined
    :return: points that are seen at all [N]
    """
    counts = seen.sum(axis=0)
    order = np.argsort(-counts, kind='stable')
    order = order[counts[order] > 0]
    share = min(_OF_EACH, _MOST_POINTS // free)
    holds = np.zeros(len(order), np.bool_)
    for k in range(1, free + 1):
        holds[np.flatnonzero(seen[-k, order])[:share]] = True
    return np.concatenate([order[holds], order[~holds]])


def _problem(
    landmarks: LandmarkMap,
    seen: NDArray[np.bool_],
    rows: NDArray[np.int64],
    free: int,
    camera_matrix: Array,
    config: TrackerConfig,
) -> BundleProblem:
    """
    Gather some of the points and all keyframes.

    :param seen: which keyframe sees which point [F, L]
    :param rows: points [N]
    :param free: keyframes, the latest, whose poses are refined
    """
    points, poses = landmarks.points, landmarks.T_camera_world
    point, frame = np.nonzero(seen[:, rows].T)
    return BundleProblem(
        T_camera_world=poses,
        fixed=len(poses) - free,
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


def _best_start(problem: BundleProblem) -> BundleProblem:
    """Try several starts, and return the best one's end to go on from."""
    best = adjust(problem, _TRIAL_ITERATIONS)
    limit = _CLEARLY_BETTER * best.cost
    for start in _restarts(problem):
        other = adjust(start, _TRIAL_ITERATIONS)
        if other.cost < limit:
            best, limit = other, other.cost
    return replace(problem, T_camera_world=best.T_camera_world, log_depth=best.log_depth)


def _restarts(problem: BundleProblem) -> list[BundleProblem]:
    """
    Begin with other depths: all the same, and near and far exchanged.

    After little motion the images of a scene and of its mirror image in depth hardly differ (the
    Necker cube), and where the network errs the wrong one may have been taken.
    """
    middle = float(np.median(problem.log_depth))
    flat = np.full_like(problem.log_depth, middle)
    restarts = (_resolved(problem, depth) for depth in (flat, 2 * middle - problem.log_depth))
    return [restart for restart in restarts if restart is not None]


def _resolved(problem: BundleProblem, log_depth: Array) -> BundleProblem | None:
    """Solve all poses anew for other depths, one after the other; None where one cannot be."""
    local = problem.rays * np.exp(log_depth)[:, None]
    poses = problem.T_camera_world.copy()
    unit = np.eye(3)
    for k in range(problem.fixed, len(poses)):
        seen = (problem.frame == k) & (problem.anchor[problem.point] < k)
        points = problem.point[seen]
        to_world = inverse(poses)[problem.anchor[points]]
        world = np.einsum('lij,lj->li', to_world[:, :3, :3], local[points]) + to_world[:, :3, 3]
        limit = _FAR_OFF / problem.focal
        guesses = (poses[k], poses[k - 1])
        measured = problem.measured[seen]
        solution = solve_pose(world, measured, unit, guesses, limit, _FEWEST_POINTS)
        if solution is None:
            return None
        poses[k] = solution.T_camera_world
    return replace(problem, T_camera_world=poses, log_depth=log_depth)
