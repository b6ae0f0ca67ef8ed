from __future__ import annotations

import numpy as np
import pytest

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation import baselines
from ttt3r_ros.evaluation.trajectories import absolute_trajectory_error


def poses(positions: np.ndarray) -> np.ndarray:
    result = np.tile(np.eye(4), (len(positions), 1, 1))
    result[:, :3, 3] = positions
    return result


def test_a_line_fits_what_moves_straight():
    truth = poses(np.arange(10)[:, None] * [0.1, -0.2, 0.3] + [5.0, 0.0, 1.0])
    assert absolute_trajectory_error(baselines.straight_line(truth), truth, 'none') < 1e-12
    assert absolute_trajectory_error(baselines.static_camera(truth), truth, 'none') > 0.1


def test_no_other_line_is_better_after_alignment():
    rng = np.random.default_rng(0)
    truth = poses(np.cumsum(rng.normal(size=(50, 3)), axis=0))
    best = absolute_trajectory_error(baselines.straight_line(truth), truth, 'none')
    any_line = poses(np.arange(50)[:, None] * [1.0, 0.0, 0.0])
    assert absolute_trajectory_error(any_line, truth, 'sim3') == pytest.approx(best)


def test_recorded_trajectories_give_the_known_figures(seven_scenes_folder):
    files = sorted(seven_scenes_folder.glob('*.pose.txt'))
    truth = np.stack([np.loadtxt(file) for file in files])
    static, line = baselines.static_camera(truth), baselines.straight_line(truth)
    assert absolute_trajectory_error(static, truth) == pytest.approx(0.317, abs=5e-4)
    assert absolute_trajectory_error(line, truth) == pytest.approx(0.137, abs=5e-4)


def test_no_other_constant_is_better():
    truth = np.random.default_rng(1).lognormal(1.0, 0.5, 1001)
    best = baselines.best_constant(truth)
    cost = [np.mean(np.abs(c - truth) / truth) for c in (best, best * 0.99, best * 1.01)]
    assert min(cost) == cost[0]


def test_the_mean_map_ignores_what_is_unknown():
    maps = [np.array([[1.0, np.nan], [4.0, np.nan]]), np.array([[1.0, 2.0], [1.0, np.nan]])]
    mean = baselines.mean_map(maps)
    np.testing.assert_allclose(mean[:, 0], [1.0, 2.0], rtol=1e-6)
    assert mean[0, 1] == pytest.approx(2.0)
    assert mean[1, 1] == pytest.approx(np.exp(np.log([1.0, 1.0, 4.0, 1.0, 2.0]).sum() / 5))


def test_no_depth_at_all_is_refused():
    with pytest.raises(DatasetError, match='mean map'):
        baselines.mean_map([np.full((2, 2), np.nan)])
    with pytest.raises(DatasetError, match='constant'):
        baselines.best_constant(np.array([]))
