from __future__ import annotations

import copy
import tracemalloc

from evo.core import metrics
from evo.core.trajectory import PosePath3D
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ttt3r_ros.errors import ReconstructionError
from ttt3r_ros.evaluation.trajectories import (
    absolute_trajectory_error,
    align,
    mean_rotation_error,
    relative_pose_error,
    revisits,
    umeyama,
)


def random_walk(seed: int, count: int = 120) -> np.ndarray:
    rng = np.random.default_rng(seed)
    poses = np.tile(np.eye(4), (count, 1, 1))
    turn = Rotation.from_rotvec(np.cumsum(rng.normal(0, 0.05, (count, 3)), axis=0))
    poses[:, :3, :3] = turn.as_matrix()
    poses[:, :3, 3] = np.cumsum(rng.normal(0, 0.1, (count, 3)), axis=0)
    return poses


def spoil(truth: np.ndarray, seed: int, scale: float) -> np.ndarray:
    """Noise, drift, another scale and another world frame."""
    rng = np.random.default_rng(seed)
    spoilt = truth.copy()
    noise = Rotation.from_rotvec(rng.normal(0, 0.02, (len(truth), 3))).as_matrix()
    spoilt[:, :3, :3] = truth[:, :3, :3] @ noise
    drift = np.linspace(0, 0.3, len(truth))[:, None] * [1.0, -0.5, 0.2]
    spoilt[:, :3, 3] += rng.normal(0, 0.02, (len(truth), 3)) + drift
    spoilt[:, :3, 3] *= scale
    world = np.eye(4)
    world[:3, :3] = Rotation.from_rotvec([0.3, -1.0, 2.0]).as_matrix()
    world[:3, 3] = [4.0, 5.0, -6.0]
    return world @ spoilt


def evo_errors(estimate: np.ndarray, truth: np.ndarray, alignment: str) -> list[float]:
    reference = PosePath3D(poses_se3=list(truth))
    path = copy.deepcopy(PosePath3D(poses_se3=list(estimate)))
    if alignment != 'none':
        path.align(reference, correct_scale=alignment == 'sim3')
    results = []
    for metric in (
        metrics.APE(metrics.PoseRelation.translation_part),
        metrics.RPE(metrics.PoseRelation.translation_part, all_pairs=True),
        metrics.RPE(metrics.PoseRelation.rotation_angle_rad, all_pairs=True),
    ):
        metric.process_data((reference, path))
        results.append(metric.get_statistic(metrics.StatisticsType.rmse))
    return results


@pytest.mark.parametrize('alignment', ['sim3', 'se3', 'none'])
@pytest.mark.parametrize(('seed', 'scale'), [(0, 1.0), (1, 0.2), (2, 7.5)])
def test_errors_equal_those_of_evo(alignment, seed, scale):
    truth = random_walk(seed)
    estimate = spoil(truth, seed + 10, scale)
    ate, translation, rotation = evo_errors(estimate, truth, alignment)
    ours = relative_pose_error(estimate, truth, alignment)
    assert absolute_trajectory_error(estimate, truth, alignment) == pytest.approx(ate, abs=1e-9)
    assert ours.translation == pytest.approx(translation, abs=1e-9)
    assert ours.rotation == pytest.approx(rotation, abs=1e-9)


def test_errors_equal_those_of_evo_on_a_real_trajectory(tum_folder):
    rows = np.loadtxt(tum_folder / 'groundtruth.txt')
    truth = np.tile(np.eye(4), (len(rows), 1, 1))
    truth[:, :3, :3] = Rotation.from_quat(rows[:, 4:8]).as_matrix()
    truth[:, :3, 3] = rows[:, 1:4]
    estimate = spoil(truth, 3, 0.4)
    ate, translation, rotation = evo_errors(estimate, truth, 'sim3')
    ours = relative_pose_error(estimate, truth)
    assert absolute_trajectory_error(estimate, truth) == pytest.approx(ate, abs=1e-9)
    assert ours.translation == pytest.approx(translation, abs=1e-9)
    assert ours.rotation == pytest.approx(rotation, abs=1e-9)


def test_alignment_finds_a_known_similarity():
    rng = np.random.default_rng(4)
    points = rng.normal(size=(20, 3))
    rotation = Rotation.from_rotvec([1.0, 2.0, 0.5]).as_matrix()
    found = umeyama(points, 3.0 * points @ rotation.T + [1.0, 2.0, 3.0], with_scale=True)
    assert found.scale == pytest.approx(3.0)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-12)
    np.testing.assert_allclose(found.translation, [1.0, 2.0, 3.0], atol=1e-12)


def test_alignment_never_mirrors():
    points = np.random.default_rng(5).normal(size=(20, 3))
    found = umeyama(points, points * [1.0, 1.0, -1.0], with_scale=True)
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)


def test_a_static_estimate_is_moved_to_the_mean():
    truth = random_walk(6)
    estimate = np.tile(np.eye(4), (len(truth), 1, 1))
    estimate[:, :3, 3] = [1e3, 2e3, 3e3]
    deviation = truth[:, :3, 3] - truth[:, :3, 3].mean(axis=0)
    expected = np.sqrt(np.mean(np.sum(deviation**2, axis=1)))
    assert absolute_trajectory_error(estimate, truth) == pytest.approx(expected)


def test_alignment_keeps_rotations_rigid():
    truth = random_walk(7)
    moved = align(spoil(truth, 8, 5.0), truth)
    np.testing.assert_allclose(np.linalg.det(moved[:, :3, :3]), 1.0, atol=1e-12)


def test_one_frame_has_no_relative_error():
    truth = random_walk(9, count=1)
    assert np.isnan(relative_pose_error(truth, truth)).all()
    assert absolute_trajectory_error(truth, truth) == 0.0


def test_unusable_trajectories_are_refused():
    truth = random_walk(10)
    with pytest.raises(ValueError, match='do not match'):
        align(truth[:-1], truth)
    with pytest.raises(ValueError, match='alignment'):
        align(truth, truth, 'sim')  # type: ignore[arg-type]
    broken = truth.copy()
    broken[17, 0, 3] = np.nan
    with pytest.raises(ReconstructionError, match='pose 17 of the estimate'):
        align(broken, truth)


def test_revisits_are_counted_in_little_memory():
    count = 3000
    truth = np.tile(np.eye(4), (count, 1, 1))
    angle = np.linspace(0.0, 2 * np.pi, 1000, endpoint=False)
    truth[:1000, 0, 3], truth[:1000, 1, 3] = 40 * np.cos(angle), 40 * np.sin(angle)
    truth[1000:2000] = truth[:1000]  # the second round sees the first one again
    truth[2000:, :3, 3] = truth[:1000, :3, 3]
    truth[2000:, :3, 2] = [1.0, 0.0, 0.0]  # the third one looks elsewhere
    tracemalloc.start()
    share = revisits(truth)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # In each round the last frames come within 0.5 m of its first ones.
    assert share == pytest.approx(1000 / 2900, abs=0.01)
    assert peak < 100e6
    assert np.isnan(revisits(truth[:100]))


def test_rotations_are_compared_from_the_first_frame_on():
    truth = random_walk(3)
    elsewhere = spoil(truth, 3, 1.0)
    elsewhere[:, :3, :3] = (
        elsewhere[:1, :3, :3] @ np.swapaxes(truth[:1, :3, :3], 1, 2) @ (truth[:, :3, :3])
    )
    assert mean_rotation_error(elsewhere, truth) == pytest.approx(0.0, abs=1e-9)
    turned = truth.copy()
    turned[60:, :3, :3] = truth[60:, :3, :3] @ Rotation.from_rotvec([0.0, 0.4, 0.0]).as_matrix()
    assert mean_rotation_error(turned, truth) == pytest.approx(0.2)
