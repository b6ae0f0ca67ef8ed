"""The pose of one image from points whose place is known: Perspective-n-Point."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ttt3r_ros.geometry.se3 import Transform

Array = NDArray[np.float64]

_TRIALS = 100  # of RANSAC; enough for 50 % outliers at 3 points
_GOOD_GUESS = 0.6  # of the points agree; RANSAC finds nothing better then
_ROUNDS = 2  # of refining and choosing the inliers anew
_LEAST_NOISE = 0.2  # pixels; no corner is followed better
_RAYLEIGH_MEDIAN = 1.177  # of the length of two normal errors, in their sigma


@dataclass(frozen=True)
class PoseSolution:
    """
    A pose and what agrees with it.

    :param T_camera_world: [4, 4]
    :param inliers: whether each point agrees [N]
    :param errors: in the image, pixels; inf behind the camera [N]
    """

    T_camera_world: Transform
    inliers: NDArray[np.bool_]
    errors: Array

    def covariance(self, points: Array, camera_matrix: Array) -> Array:
        """
        Estimate how well the points determine the pose: sigma^2 (J^T J)^-1 of the image errors.

        The points count as exact: this is the noise of the pose in the map, without the map's
        drift.

        :param points: in the world, metres [N, 3]
        :return: of (x, y, z in metres, rotation about x, y, z in radians), camera axes [6, 6]
        """
        rotation, translation = self.T_camera_world[:3, :3], self.T_camera_world[:3, 3]
        local = points[self.inliers] @ rotation.T + translation
        zero = np.zeros(3)
        _, jacobian = cv2.projectPoints(local, zero, zero, camera_matrix, None)
        slopes = jacobian[:, [3, 4, 5, 0, 1, 2]]  # OpenCV puts rotation first; the sign drops out
        noise = max(_LEAST_NOISE, float(np.median(self.errors[self.inliers])) / _RAYLEIGH_MEDIAN)
        information = slopes.T @ slopes / noise**2
        # What the points leave open gets a deviation of 10 m or rad, instead of infinity.
        return np.asarray(np.linalg.inv(information + 1e-2 * np.eye(6)))


def project(points: Array, T_camera_world: Transform, camera_matrix: Array) -> Array:
    """
    Project world points.

    :param points: metres [N, 3]
    :return: pixels; inf behind the camera [N, 2]
    """
    local = points @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    front = local[:, 2:] > 1e-6
    ratio = local[:, :2] / np.where(front, local[:, 2:], 1.0)
    pixels = ratio * camera_matrix[[0, 1], [0, 1]] + camera_matrix[:2, 2]
    return np.asarray(np.where(front, pixels, np.inf))


def viewing_rays(pixels: NDArray[np.floating], camera_matrix: Array) -> Array:
    """Return the rays with z = 1 through pixels [N, 3]."""
    rays = np.ones((len(pixels), 3))
    rays[:, :2] = (pixels - camera_matrix[:2, 2]) / camera_matrix[[0, 1], [0, 1]]
    return rays


def solve_pose(
    points: Array,
    pixels: Array,
    camera_matrix: Array,
    guesses: tuple[Transform, ...],
    max_error: float,
    min_inliers: int,
) -> PoseSolution | None:
    """
    Solve a camera's pose.

    The best start is taken among the guesses and, where most points disagree with them, RANSAC's
    (always the same random numbers); it is refined by Levenberg–Marquardt on the points that
    agree.

    :param points: in the world, metres [N, 3]
    :param pixels: where they are seen [N, 2]
    :param guesses: T_camera_world, as from the pose before
    :param max_error: of points that agree, pixels
    :return: None where fewer than `min_inliers` points agree
    """
    if len(points) < min_inliers:
        return None
    scored = [_judge(points, pixels, camera_matrix, pose, max_error) for pose in guesses]
    if not any(solution.inliers.mean() > _GOOD_GUESS for solution in scored):
        found = _ransac(points, pixels, camera_matrix, max_error)
        scored += [_judge(points, pixels, camera_matrix, pose, max_error) for pose in found]
    if not scored:
        return None
    best = max(scored, key=lambda solution: int(solution.inliers.sum()))
    for _ in range(_ROUNDS):
        if best.inliers.sum() < min_inliers:
            return None
        refined = _refine(points[best.inliers], pixels[best.inliers], camera_matrix, best)
        best = _judge(points, pixels, camera_matrix, refined, max_error)
    finite = bool(np.isfinite(best.T_camera_world).all())
    return best if finite and best.inliers.sum() >= min_inliers else None


def _ransac(
    points: Array, pixels: Array, camera_matrix: Array, max_error: float
) -> list[Transform]:
    cv2.setRNGSeed(0)
    found, rotation, translation, _ = cv2.solvePnPRansac(
        points,
        pixels,
        camera_matrix,
        None,
        iterationsCount=_TRIALS,
        reprojectionError=max_error,
        confidence=0.999,
        flags=cv2.SOLVEPNP_AP3P,
    )
    return [_to_transform(np.asarray(rotation), np.asarray(translation))] if found else []


def _judge(
    points: Array, pixels: Array, camera_matrix: Array, pose: Transform, max_error: float
) -> PoseSolution:
    errors = np.linalg.norm(project(points, pose, camera_matrix) - pixels, axis=1)
    return PoseSolution(pose, errors < max_error, errors)


def _refine(points: Array, pixels: Array, camera_matrix: Array, start: PoseSolution) -> Transform:
    rotation, translation = cv2.solvePnPRefineLM(
        points,
        pixels,
        camera_matrix,
        None,
        cv2.Rodrigues(start.T_camera_world[:3, :3])[0],
        start.T_camera_world[:3, 3:].copy(),
    )
    return _to_transform(np.asarray(rotation), np.asarray(translation))


def _to_transform(rotation: Array, translation: Array) -> Transform:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(rotation)[0], translation.ravel()
    return pose
