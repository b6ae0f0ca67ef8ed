"""When a frame becomes a keyframe, and leaving the mirror image of a scene."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ttt3r_ros.tracking.config import TrackerConfig
from ttt3r_ros.tracking.keyframes import is_due, refine
from ttt3r_ros.tracking.landmarks import LandmarkMap
from ttt3r_ros.tracking.pose import project, solve_pose, viewing_rays

MATRIX = np.array([[525.0, 0, 320], [0, 525, 240], [0, 0, 1]])
CONFIG = TrackerConfig()


def test_a_keyframe_is_due_after_motion_time_or_loss_of_points():
    pixels = np.random.default_rng(0).uniform(50, 400, (100, 2)).astype(np.float32)
    landmarks = LandmarkMap(np.eye(4))
    landmarks.insert(pixels, pixels.astype(np.float64), np.zeros(100))
    rows = np.arange(100)
    landmarks.mark_followed(rows, pixels + 0.5)
    assert not is_due(landmarks, 1, 640, CONFIG)
    assert not is_due(landmarks, 100 * CONFIG.keyframe_interval, 640, CONFIG)  # at rest
    landmarks.mark_followed(rows, pixels + 1)
    assert not is_due(landmarks, 1, 640, CONFIG)
    assert is_due(landmarks, CONFIG.keyframe_interval, 640, CONFIG)
    landmarks.mark_followed(rows, pixels + 30)
    assert is_due(landmarks, 1, 640, CONFIG)
    landmarks.mark_followed(rows[:40], pixels[:40])
    assert is_due(landmarks, 1, 640, CONFIG)


@pytest.mark.parametrize('inverted', [False, True])
def test_depths_are_refined_even_from_the_mirror_image(inverted):
    rng = np.random.default_rng(1)
    pixels = rng.uniform([40, 40], [600, 440], (150, 2))
    depth = rng.uniform(1.5, 4.0, 150)
    world = viewing_rays(pixels, MATRIX) * depth[:, None]
    middle = np.median(np.log(depth))
    start = 2 * middle - np.log(depth) if inverted else np.full(150, middle)
    guessed = viewing_rays(pixels, MATRIX) * np.exp(start)[:, None]
    landmarks = LandmarkMap(np.eye(4))
    landmarks.insert(pixels.astype(np.float32), np.zeros((150, 2)), start)
    for k in range(1, 5):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_rotvec([0.01 * k, 0.02 * k, 0.0]).as_matrix()
        pose[:3, 3] = [0.05 * k, 0.01 * k, 0.01 * k]
        seen = project(world, pose, MATRIX) + rng.normal(0, 0.2, (150, 2))
        solved = solve_pose(guessed, seen, MATRIX, (np.eye(4),), 50.0, 20)
        assert solved is not None
        landmarks.add_keyframe(solved.T_camera_world, np.arange(150), seen, np.zeros((150, 2)))
    refine(landmarks, MATRIX, CONFIG)
    error = landmarks.points.log_depth - np.log(depth)
    assert np.std(error) < 0.05
    assert landmarks.T_camera_world[-1, 0, 3] > 0.1


def test_the_latest_pose_is_held_by_the_points_that_it_sees():
    """After a fast turn it sees none of those that were seen most often."""
    rng = np.random.default_rng(2)
    landmarks = LandmarkMap(np.eye(4))
    poses = []
    for k in range(1, 8):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_rotvec([0.0, 0.02 * k, 0.0]).as_matrix()
        pose[:3, 3] = [0.05 * k, 0.0, 0.02 * k]
        poses.append(pose)
    # 130 points that the first keyframe sees, and 50 that the last but one sees first
    worlds = []
    for count, first in ((130, np.eye(4)), (50, poses[-2])):
        pixels, depth = rng.uniform([40, 40], [600, 440], (count, 2)), rng.uniform(1.5, 4.0, count)
        local = viewing_rays(pixels, MATRIX) * depth[:, None]
        back = np.linalg.inv(first)
        worlds.append(local @ back[:3, :3].T + back[:3, 3])
        if count == 50:
            see(landmarks, poses[:-1], worlds[0], np.arange(130), rng)
        start = np.log(depth) + rng.normal(0, 0.2, count)
        landmarks.insert(pixels.astype(np.float32), np.zeros((count, 2)), start)
    see(landmarks, poses[-1:], worlds[1], 130 + np.arange(50), rng)
    refine(landmarks, MATRIX, CONFIG)
    turned = landmarks.T_camera_world[-1] @ np.linalg.inv(poses[-1])
    assert Rotation.from_matrix(turned[:3, :3]).magnitude() < 0.02


def see(landmarks, poses, world, rows, rng):
    """Add a keyframe at each pose, which sees some points."""
    for pose in poses:
        pixels = project(world, pose, MATRIX) + rng.normal(0, 0.2, (len(rows), 2))
        landmarks.add_keyframe(pose, rows, pixels, np.zeros((len(rows), 2)))
