from __future__ import annotations

import numpy as np
import pytest

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.baselines import Baseline, constant_map, mean_map, training_mean_map
from ttt3r_ros.evaluation.trajectories import absolute_trajectory_error

IMAGE = np.zeros((48, 64, 3), np.uint8)


def walk(step: float, count: int) -> np.ndarray:
    baseline = Baseline(step, np.ones((3, 4), np.float32))
    return np.stack([baseline.add(IMAGE).T_world_camera for _ in range(count)])


def poses(positions: np.ndarray) -> np.ndarray:
    result = np.tile(np.eye(4), (len(positions), 1, 1))
    result[:, :3, 3] = positions
    return result


def test_a_line_fits_what_moves_straight():
    truth = poses(np.arange(10)[:, None] * [0.1, -0.2, 0.3] + [5.0, 0.0, 1.0])
    assert absolute_trajectory_error(walk(1.0, 10), truth) < 1e-9
    assert absolute_trajectory_error(walk(0.0, 10), truth) > 0.1


def test_the_line_is_the_best_one():
    truth = poses(np.cumsum(np.random.default_rng(0).normal(size=(50, 3)), axis=0))
    basis = np.stack([np.ones(50), np.arange(50)], axis=1)
    residual = truth[:, :3, 3] - basis @ np.linalg.lstsq(basis, truth[:, :3, 3], rcond=None)[0]
    best = np.sqrt(np.mean(np.sum(residual**2, axis=1)))
    assert absolute_trajectory_error(walk(1.0, 50), truth) == pytest.approx(best)


def test_recorded_trajectories_give_the_known_figures(seven_scenes_folder):
    files = sorted(seven_scenes_folder.glob('*.pose.txt'))
    truth = np.stack([np.loadtxt(file) for file in files])
    assert absolute_trajectory_error(walk(0.0, 200), truth) == pytest.approx(0.317, abs=5e-4)
    assert absolute_trajectory_error(walk(1.0, 200), truth) == pytest.approx(0.137, abs=5e-4)


def test_a_baseline_says_its_depth_for_the_whole_image():
    depth = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    guess = Baseline(0.0, depth).add(IMAGE)
    np.testing.assert_array_equal(guess.points[..., 2], depth)
    mapping = guess.mapping
    assert (mapping.input_width, mapping.input_height) == (64, 48)
    assert (mapping.width, mapping.height, mapping.scale_x, mapping.scale_y) == (
        4,
        3,
        1 / 16,
        1 / 16,
    )


def test_the_mean_map_ignores_what_is_unknown():
    maps = [np.array([[1.0, np.nan], [4.0, np.nan]]), np.array([[1.0, 2.0], [1.0, np.nan]])]
    mean = mean_map(maps)
    np.testing.assert_allclose(mean[:, 0], [1.0, 2.0], rtol=1e-6)
    assert mean[0, 1] == pytest.approx(2.0)
    assert mean[1, 1] == pytest.approx(np.exp(np.log([1.0, 1.0, 4.0, 1.0, 2.0]).sum() / 5))
    np.testing.assert_allclose(constant_map(np.array([[1.0, 4.0]])), [[2.0, 2.0]])


def test_no_depth_at_all_is_refused():
    with pytest.raises(DatasetError, match='mean map'):
        mean_map([np.full((2, 2), np.nan)])


def test_rooms_are_nearer_below_the_horizon():
    depth = training_mean_map()
    assert np.isfinite(depth).all()
    assert depth[-6:].mean() < depth[12:24].mean()
