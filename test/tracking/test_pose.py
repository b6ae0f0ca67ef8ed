"""Poses from known points."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ttt3r_ros.geometry.se3 import inverse, rotation_angle
from ttt3r_ros.tracking.pose import project, solve_pose, viewing_rays

MATRIX = np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])


@pytest.fixture
def scene():
    rng = np.random.default_rng(0)
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec([0.1, -0.2, 0.05]).as_matrix()
    pose[:3, 3] = [0.2, -0.1, 0.3]
    points = rng.uniform([-1.5, -1, 2], [1.5, 1, 5], (200, 3))
    return pose, points, project(points, pose, MATRIX)


def test_rays_go_through_their_pixels(scene):
    pose, points, pixels = scene
    local = points @ pose[:3, :3].T + pose[:3, 3]
    assert np.allclose(viewing_rays(pixels, MATRIX) * local[:, 2:], local)


def test_points_behind_the_camera_are_not_seen():
    assert np.isinf(project(np.array([[0.1, 0.2, -1.0]]), np.eye(4), MATRIX)).all()


def test_the_pose_is_found_among_outliers_without_a_guess(scene):
    pose, points, pixels = scene
    rng = np.random.default_rng(1)
    pixels[:80] = rng.uniform([0, 0], [640, 480], (80, 2))
    found = solve_pose(points, pixels, MATRIX, (), 2.0, 20)
    assert found is not None
    assert rotation_angle(inverse(found.T_camera_world) @ pose) < 1e-5
    assert np.allclose(found.T_camera_world, pose, atol=1e-5)
    assert found.inliers[80:].all()
    assert found.inliers[:80].mean() < 0.1


def test_a_wrong_guess_does_no_harm(scene):
    pose, points, pixels = scene
    found = solve_pose(points, pixels, MATRIX, (np.eye(4),), 2.0, 20)
    assert found is not None
    assert np.allclose(found.T_camera_world, pose, atol=1e-5)


def test_too_few_points_give_no_pose(scene):
    _, points, pixels = scene
    assert solve_pose(points[:19], pixels[:19], MATRIX, (), 2.0, 20) is None
    noise = np.random.default_rng(2).uniform([0, 0], [640, 480], (200, 2))
    assert solve_pose(points, noise, MATRIX, (np.eye(4),), 1.0, 20) is None


def test_the_covariance_is_that_of_many_trials(scene):
    pose, points, pixels = scene
    rng = np.random.default_rng(3)
    shifts, covariance = [], np.zeros((6, 6))
    for _ in range(150):
        noisy = pixels + rng.normal(0, 0.5, pixels.shape)
        found = solve_pose(points, noisy, MATRIX, (pose,), 5.0, 20)
        assert found is not None
        error = pose @ inverse(found.T_camera_world)  # in camera axes
        turn = Rotation.from_matrix(error[:3, :3]).as_rotvec()
        shifts.append(np.concatenate([error[:3, 3], turn]))
        covariance += found.covariance(points, MATRIX) / 150
    measured = np.cov(np.array(shifts).T)
    assert np.allclose(np.diag(measured), np.diag(covariance), rtol=0.5)
    assert np.sign(measured[0, 4]) == np.sign(covariance[0, 4])
