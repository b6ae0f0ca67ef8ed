import numpy as np
import pytest

from ttt3r_ros.mapping import VoxelMap


def cloud(count, seed=0, centre=(0.0, 0.0, 0.0), spread=1.0):
    random = np.random.default_rng(seed)
    points = (random.normal(size=(count, 3)) * spread + centre).astype(np.float32)
    return points, random.integers(0, 256, (count, 3), dtype=np.uint8), np.ones(count, np.float32)


def cells(points, size):
    return {tuple(cell) for cell in np.floor(points / size).astype(int)}


def test_mean_is_weighted_over_points_and_frames():
    voxels = VoxelMap(1.0, 10)
    first = np.array([[0.1, 0.1, 0.1], [0.3, 0.1, 0.1]], np.float32)
    voxels.add(first, np.array([[0, 0, 0], [40, 80, 200]], np.uint8), np.array([1.0, 3.0]))
    voxels.add(first[:1], np.array([[255, 0, 0]], np.uint8), np.array([4.0]))
    points, colors = voxels.points()
    np.testing.assert_allclose(points, [[0.175, 0.1, 0.1]], atol=1e-6)
    np.testing.assert_array_equal(colors, [[round((3 * 40 + 4 * 255) / 8), 30, 75]])


def test_agrees_with_a_plain_loop():
    voxels, expected = VoxelMap(0.25, 100_000), {}
    for seed in range(5):
        points, colors, weights = cloud(2000, seed)
        voxels.add(points, colors, weights)
        for point, color in zip(points, colors, strict=True):
            cell = tuple(np.floor(point.astype(float) / 0.25).astype(int))
            expected.setdefault(cell, []).append([*point, *color])
    points, colors = voxels.points()
    assert len(points) == len(expected)
    order = np.lexsort(points.T)
    means = np.array([np.mean(values, axis=0) for values in expected.values()])
    means = means[np.lexsort(means[:, :3].astype(np.float32).T)]
    np.testing.assert_allclose(points[order], means[:, :3], atol=1e-5)
    assert np.abs(colors[order] - means[:, 3:]).max() <= 0.5 + 1e-3


def test_negative_and_positive_sides_of_zero_are_different_voxels():
    voxels = VoxelMap(1.0, 10)
    points = np.array([[-0.1, 0, 0], [0.1, 0, 0]], np.float32)
    voxels.add(points, np.zeros((2, 3), np.uint8), np.ones(2))
    assert len(voxels) == 2


def test_never_grows_beyond_its_bound_and_keeps_the_latest():
    voxels = VoxelMap(0.1, 500)
    for step in range(6):
        points, colors, weights = cloud(400, step, centre=(10.0 * step, 0, 0))
        voxels.add(points, colors, weights)
        assert len(voxels) <= 500
    kept, _ = voxels.points()
    assert cells(points, 0.1) <= cells(kept, 0.1)
    assert (kept[:, 0] > 35).all()  # the oldest have gone


def test_voxels_seen_often_outlast_those_seen_once():
    voxels = VoxelMap(1.0, 3)
    often, once, new = ([[0.5, 0.5, x + 0.5]] for x in (0, 5, 9))
    color, weight = np.zeros((1, 3), np.uint8), np.ones(1)
    voxels.add(np.array(often), color, weight)
    both = np.array([*often, *once, [0.5, 0.5, 7.5]])
    voxels.add(both, np.zeros((3, 3), np.uint8), np.ones(3))
    voxels.add(np.array(new), color, weight)
    kept = cells(voxels.points()[0], 1.0)
    assert (0, 0, 0) in kept
    assert (0, 0, 9) in kept
    assert len(kept) == 3


def test_a_voxel_in_view_is_not_dropped_for_a_new_one():
    voxels = VoxelMap(1.0, 2)
    a, b, c = [0.5, 0.5, 0.5], [0.5, 0.5, 5.5], [0.5, 0.5, 9.5]
    voxels.add(np.array([a]), np.zeros((1, 3), np.uint8), np.ones(1))
    voxels.add(np.array([b]), np.zeros((1, 3), np.uint8), np.ones(1))
    voxels.add(np.array([a, c]), np.zeros((2, 3), np.uint8), np.ones(2))
    assert cells(voxels.points()[0], 1.0) == {(0, 0, 0), (0, 0, 9)}


def test_one_frame_larger_than_the_map_keeps_its_heaviest():
    voxels = VoxelMap(1.0, 2)
    points = np.array([[x + 0.5, 0, 0] for x in range(4)])
    voxels.add(points, np.zeros((4, 3), np.uint8), np.array([1.0, 4.0, 2.0, 3.0]))
    assert cells(voxels.points()[0], 1.0) == {(1, 0, 0), (3, 0, 0)}


def test_unusable_points_are_left_out():
    voxels = VoxelMap(0.01, 100)
    points = np.array([[np.nan, 0, 0], [np.inf, 0, 0], [1e9, 0, 0], [0, 0, 1], [0, 0, 2]])
    weights = np.array([1, 1, 1, 0, np.nan])
    voxels.add(points, np.zeros((5, 3), np.uint8), weights)
    assert len(voxels) == 0
    voxels.add(np.empty((0, 3)), np.empty((0, 3), np.uint8), np.empty(0))
    assert [len(part) for part in voxels.points()] == [0, 0]


def test_same_input_gives_the_same_map():
    maps = [VoxelMap(0.05, 700), VoxelMap(0.05, 700)]
    for voxels in maps:
        for seed in range(5):
            voxels.add(*cloud(500, seed))
    for one, other in zip(maps[0].points(), maps[1].points(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_clear_forgets():
    voxels = VoxelMap(0.1, 1000)
    voxels.add(*cloud(100))
    voxels.clear()
    assert len(voxels) == 0
    voxels.add(*cloud(100, seed=3))
    fresh = VoxelMap(0.1, 1000)
    fresh.add(*cloud(100, seed=3))
    np.testing.assert_array_equal(voxels.points()[0], fresh.points()[0])


@pytest.mark.parametrize(('size', 'bound'), [(0.0, 5), (-1.0, 5), (float('nan'), 5), (0.1, 0)])
def test_bad_settings_are_refused(size, bound):
    with pytest.raises(ValueError, match=r'voxel_size|max_points'):
        VoxelMap(size, bound)


def test_shapes_must_belong_together():
    with pytest.raises(ValueError, match='do not belong together'):
        VoxelMap(0.1, 10).add(np.zeros((2, 3)), np.zeros((3, 3), np.uint8), np.ones(2))


def test_one_frame_that_nearly_fills_a_nearly_empty_map():
    def line(count: int, begin: int) -> tuple[np.ndarray, ...]:
        points = np.full((count, 3), 0.5, np.float32)
        points[:, 0] += begin + np.arange(count)
        return points, np.zeros((count, 3), np.uint8), np.ones(count, np.float32)

    cloud = VoxelMap(1.0, 1000)
    cloud.add(*line(10, 0))
    cloud.add(*line(995, 100))
    points, _ = cloud.points()
    assert set(line(995, 100)[0][:, 0]) <= set(points[:, 0])
    assert len(cloud) <= 1000
