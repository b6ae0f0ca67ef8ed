"""Joint refinement on points whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ttt3r_ros.geometry.se3 import inverse, rotation_angle
from ttt3r_ros.tracking.bundle import BundleProblem, adjust

FRAMES, POINTS, FOCAL = 5, 80, 500.0


@pytest.fixture
def known():
    """Poses, depths, and a problem that starts at them."""
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    for k in range(FRAMES):
        poses[k, :3, :3] = Rotation.from_rotvec([0.01 * k, 0.03 * k, 0.0]).as_matrix()
        poses[k, :3, 3] = [0.08 * k, 0.02 * k, 0.03 * k]
    world = rng.uniform([-1.5, -1, 1.5], [1.5, 1, 3.5], (POINTS, 3))
    anchor = rng.integers(0, 2, POINTS)
    local = np.einsum('fij,lj->fli', poses[:, :3, :3], world) + poses[:, None, :3, 3]
    in_anchor = local[anchor, np.arange(POINTS)]
    frame, point = np.divmod(np.arange(FRAMES * POINTS), POINTS)
    order = np.argsort(point, kind='stable')
    frame, point = frame[order], point[order]
    other = frame != anchor[point]
    frame, point = frame[other], point[other]
    seen = local[frame, point]
    log_depth = np.log(in_anchor[:, 2])
    return BundleProblem(
        T_camera_world=poses,
        fixed=2,
        anchor=anchor,
        rays=in_anchor / in_anchor[:, 2:],
        log_depth=log_depth,
        prior=log_depth,
        prior_sigma=10.0,
        frame=frame,
        point=point,
        measured=seen[:, :2] / seen[:, 2:],
        focal=FOCAL,
        max_error=1.0,
    )


def disturbed(problem, rng, **changes):
    poses = problem.T_camera_world.copy()
    for k in range(problem.fixed, FRAMES):
        poses[k, :3, :3] = (
            Rotation.from_rotvec(rng.normal(0, 0.005, 3)).as_matrix() @ poses[k, :3, :3]
        )
        poses[k, :3, 3] += rng.normal(0, 0.01, 3)
    log_depth = problem.log_depth + rng.normal(0, 0.2, POINTS)
    return replace(problem, T_camera_world=poses, log_depth=log_depth, prior=log_depth, **changes)


def test_poses_and_depths_are_recovered(known):
    problem = disturbed(known, np.random.default_rng(1))
    found = adjust(problem, 15)
    poses, log_depth = found.T_camera_world, found.log_depth
    assert found.cost < 0.5 * np.sum(((log_depth - problem.prior) / 10) ** 2) + 1e-3
    assert np.array_equal(poses[:2], known.T_camera_world[:2])
    assert rotation_angle(inverse(poses) @ known.T_camera_world).max() < 1e-4
    assert np.abs(poses - known.T_camera_world).max() < 1e-3
    assert np.abs(log_depth - known.log_depth).max() < 5e-3


def test_outliers_do_little_harm(known):
    rng = np.random.default_rng(2)
    measured = known.measured.copy()
    wrong = rng.choice(len(measured), len(measured) // 10, replace=False)
    measured[wrong] += rng.uniform(-0.1, 0.1, (len(wrong), 2))
    poses = adjust(disturbed(known, rng, measured=measured), 15).T_camera_world
    assert np.abs(poses - known.T_camera_world).max() < 5e-3


def test_without_parallax_the_depths_stay_with_the_network(known):
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    measured = known.rays[known.point][:, :2]
    prior = known.log_depth + 0.3
    problem = replace(known, T_camera_world=poses, measured=measured, prior=prior, prior_sigma=0.5)
    log_depth = adjust(problem, 10).log_depth
    assert np.allclose(log_depth, prior, atol=0.02)
