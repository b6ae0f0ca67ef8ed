"""The motion between two images, whatever the depth of what they show."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ttt3r_ros.geometry.se3 import inverse, rotation_angle
from ttt3r_ros.tracking.pose import project, viewing_rays
from ttt3r_ros.tracking.two_view import relative_pose

MATRIX = np.array([[525.0, 0, 320], [0, 525, 240], [0, 0, 1]])
COUNT = 120


def two_images(shift, turn, *, flat=False, seed=0):
    """Return points before and after the camera moved, their depth before, and the motion."""
    rng = np.random.default_rng(seed)
    before = rng.uniform([20, 20], [620, 460], (COUNT, 2))
    depth = rng.uniform(0.8, 3.0, COUNT)
    if flat:  # a wall seen at an angle
        depth = 1.5 / (1 + 0.3 * (before[:, 0] - 320) / 525)
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = Rotation.from_rotvec(turn).as_matrix(), shift
    after = project(viewing_rays(before, MATRIX) * depth[:, None], motion, MATRIX)
    noise = rng.normal(0, 0.2, (2, COUNT, 2))
    return before + noise[0], after + noise[1], depth, motion


@pytest.mark.parametrize('flat', [False, True])
def test_the_motion_is_found_from_depth_that_is_wrong(flat):
    before, after, depth, motion = two_images([0.1, -0.03, 0.05], [0.05, 0.1, -0.02], flat=flat)
    wrong = depth[np.random.default_rng(1).permutation(COUNT)]
    found = relative_pose(before, after, wrong, MATRIX, 40)
    assert found is not None
    assert rotation_angle(inverse(found.motion) @ motion) < 0.01
    direction = found.motion[:3, 3] / np.linalg.norm(found.motion[:3, 3])
    assert direction @ motion[:3, 3] / np.linalg.norm(motion[:3, 3]) > 0.98


def test_its_length_and_depths_are_those_that_are_known():
    before, after, depth, motion = two_images([0.1, -0.03, 0.05], [0.05, 0.1, -0.02])
    found = relative_pose(before, after, 2 * depth, MATRIX, 40)
    assert found is not None
    assert np.linalg.norm(found.motion[:3, 3]) == pytest.approx(
        2 * np.linalg.norm(motion[:3, 3]), rel=0.05
    )
    later = (viewing_rays(before, MATRIX) * depth[:, None]) @ motion[:3, :3].T + motion[:3, 3]
    ratio = found.depth / later[:, 2]
    assert np.array_equal(np.isfinite(found.depth), found.inliers)
    assert np.nanmedian(ratio) == pytest.approx(2, rel=0.05)


def test_points_that_move_by_themselves_do_not_agree():
    before, after, depth, motion = two_images([0.1, -0.03, 0.05], [0.05, 0.1, -0.02])
    after[:30] += np.random.default_rng(2).uniform(-60, 60, (30, 2))
    found = relative_pose(before, after, depth, MATRIX, 40)
    assert found is not None
    assert found.inliers[30:].mean() > 0.9
    assert found.inliers[:30].mean() < 0.2
    assert rotation_angle(inverse(found.motion) @ motion) < 0.01


def test_chance_is_no_motion():
    rng = np.random.default_rng(3)
    before, after = rng.uniform([20, 20], [620, 460], (2, COUNT, 2))
    assert relative_pose(before, after, np.ones(COUNT), MATRIX, 40) is None


@pytest.mark.parametrize('count', [0, 4, 5, 39])
def test_few_points_are_no_motion(count):
    before, after, depth, _ = two_images([0.1, -0.03, 0.05], [0.05, 0.1, -0.02])
    few = slice(0, count)
    assert relative_pose(before[few], after[few], depth[few], MATRIX, 40) is None


def test_the_same_points_give_the_same_motion():
    before, after, depth, _ = two_images([0.1, -0.03, 0.05], [0.05, 0.1, -0.02])
    first, second = (relative_pose(before, after, depth, MATRIX, 40) for _ in range(2))
    assert first is not None
    assert second is not None
    assert np.array_equal(first.motion, second.motion)
