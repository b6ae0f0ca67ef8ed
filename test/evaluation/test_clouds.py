from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ttt3r_ros.errors import DatasetError
from ttt3r_ros.evaluation.clouds import compare_clouds, icp, median_alignment


def room(seed: int, count: int = 3000) -> np.ndarray:
    """Points on three walls that meet in a corner, 1 m wide."""
    points = np.random.default_rng(seed).uniform(0, 1, (count, 3))
    points[np.arange(count), np.arange(count) % 3] = 0.0
    return points


def brute_force(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1)).min(axis=1)


def test_distances_equal_those_of_all_pairs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 3)), rng.normal(size=(300, 3)) + 0.2
    errors = compare_clouds(a, b)
    there, back = brute_force(a, b), brute_force(b, a)
    assert errors.accuracy == pytest.approx(there.mean(), rel=1e-12)
    assert errors.accuracy_median == pytest.approx(np.median(there), rel=1e-12)
    assert errors.completeness == pytest.approx(back.mean(), rel=1e-12)
    assert errors.completeness_median == pytest.approx(np.median(back), rel=1e-12)
    assert errors.chamfer == pytest.approx((there.mean() + back.mean()) / 2, rel=1e-12)


def test_accuracy_and_completeness_are_not_mixed_up():
    whole = room(1)
    half = whole[whole[:, 0] < 0.3]
    errors = compare_clouds(half, whole)
    assert errors.accuracy == 0.0
    assert errors.completeness > 0.05


def test_normals_agree_on_the_same_surface_and_not_across():
    flat = np.random.default_rng(2).uniform(0, 1, (2000, 3)) * [1.0, 1.0, 0.0]
    shifted = flat + np.array([0.0, 0.0, 0.01])
    assert compare_clouds(flat, shifted).normal_consistency == pytest.approx(1.0, abs=1e-6)
    upright = flat[:, [2, 1, 0]]
    assert compare_clouds(flat, upright).normal_consistency < 0.2


def test_a_random_part_gives_about_the_same():
    a, b = room(3), room(4) + 0.02
    assert compare_clouds(a, b, 1000).accuracy == pytest.approx(
        compare_clouds(a, b).accuracy, rel=0.1
    )


def test_tiny_clouds_are_scored():
    assert compare_clouds(np.zeros((1, 3)), np.ones((2, 3))).chamfer == pytest.approx(3**0.5)


def test_empty_and_broken_clouds_are_refused():
    with pytest.raises(DatasetError, match='estimate'):
        compare_clouds(np.empty((0, 3)), room(0))
    with pytest.raises(DatasetError, match='truth'):
        compare_clouds(room(0), np.full((3, 3), np.nan))
    with pytest.raises(DatasetError, match='extent'):
        median_alignment(np.zeros((5, 3)), room(0))


def test_median_alignment_undoes_scale_and_shift_despite_outliers():
    truth = room(5)
    estimate = truth * 0.3 + [1.0, 2.0, 3.0]
    found = median_alignment(estimate, truth)
    assert found.scale == pytest.approx(1 / 0.3)
    np.testing.assert_allclose(found.apply(estimate), truth, atol=1e-9)
    estimate[:30] = 1e4
    assert median_alignment(estimate, truth).scale == pytest.approx(1 / 0.3, rel=0.03)


def test_icp_recovers_a_small_motion():
    target = room(6)
    turn = Rotation.from_rotvec([0.02, -0.03, 0.04]).as_matrix()
    source = (room(7) - [0.02, 0.01, -0.02]) @ turn
    found = icp(source, target)
    assert found.scale == 1.0
    np.testing.assert_allclose(found.rotation, turn, atol=0.005)
    np.testing.assert_allclose(found.translation, [0.02, 0.01, -0.02], atol=0.005)


def test_icp_leaves_clouds_that_are_too_far_apart():
    found = icp(room(8), room(8) + 5.0)
    np.testing.assert_array_equal(found.rotation, np.eye(3))
    np.testing.assert_array_equal(found.translation, 0.0)
