"""Looking up the network's depth, its scale, and correcting it."""

import numpy as np
import pytest

from ttt3r_ros.geometry.camera import ImageMapping, Intrinsics
from ttt3r_ros.tracking.frame import TrackingFrame
from ttt3r_ros.tracking.refine_depth import refine_depth
from ttt3r_ros.tracking.scale import NetworkScale, median_ratio, rescale_pose

# 1280x960, cropped to its middle and shrunk.
MAPPING = ImageMapping(1280, 960, 100, 80, 0.1, 0.1, 14, 8)
CAMERA = Intrinsics.centred(1280, 960, 900.0)


def prepare(depth, confidence=None):
    points = MAPPING.to_output(CAMERA).rays() * np.float32(depth)[..., None]
    sure = np.ones(depth.shape, np.float32) if confidence is None else confidence
    return TrackingFrame.prepare(
        np.zeros((960, 1280, 3), np.uint8), points, sure, MAPPING, CAMERA, 640
    )


def test_depth_is_looked_up_through_shrinking_and_cropping():
    slope = np.linspace(1.0, 3.0, 100)[None].repeat(80, axis=0)
    frame = prepare(slope)
    assert frame.gray.shape == (480, 640)
    assert np.allclose(frame.camera_matrix[:2, 2], [319.5, 239.5])
    at = np.array([[30.0, 40.0], [70.0, 10.0]])
    full = MAPPING.points_to_input(at)
    half = (full + 0.5) / 2 - 0.5
    assert np.allclose(frame.network_pixels(half), at)
    assert np.allclose(np.exp(frame.look_up(half)), slope[0, [30, 70]], rtol=1e-3)


def test_depth_is_unknown_outside_at_edges_and_where_unsure():
    depth = np.full((80, 100), 2.0)
    depth[:, 50:] = 4.0
    confidence = np.full((80, 100), 3.0, np.float32)
    confidence[:4] = 1.0
    frame = prepare(depth, confidence)
    at = np.array([[20.0, 40.0], [50.0, 40.0], [20.0, 1.0], [-3.0, 40.0], [103.0, 40.0]])
    found = frame.look_up((MAPPING.points_to_input(at) + 0.5) / 2 - 0.5)
    assert np.array_equal(np.isfinite(found), [True, False, False, False, False])


def test_scale_is_the_mean_at_first_and_slow_later():
    rng = np.random.default_rng(0)
    scale, size = NetworkScale(100), 0.0
    jitter = rng.normal(0.3, 0.2, 400)
    sizes = []
    for network in jitter:
        size += scale.follow(network - size)
        sizes.append(size)
    assert sizes[30] == pytest.approx(np.mean(jitter[:31]), abs=0.03)
    assert np.std(sizes[100:]) < 0.03
    assert np.mean(sizes[100:]) == pytest.approx(0.3, abs=0.03)


def test_too_few_depths_say_nothing_of_the_scale():
    assert median_ratio(np.array([0.5] * 5 + [np.nan] * 20)) == 0.0
    assert median_ratio(np.array([0.5] * 20 + [9.0] * 5)) == 0.5


def test_scaling_the_world_moves_cameras_away_from_its_centre():
    pose = np.eye(4)
    pose[:3, 3] = [-1.0, 0.0, -2.0]  # the camera stands at (1, 0, 2)
    scaled = rescale_pose(pose, np.log(2.0), np.array([1.0, 0.0, 0.0]))
    assert np.allclose(-scaled[:3, 3], [1.0, 0.0, 4.0])


@pytest.fixture
def wrong():
    """A depth map, the same with a smooth error, and where the error is known."""
    x, y = np.meshgrid(np.linspace(-1, 1, 100), np.linspace(-1, 1, 80))
    true = 2.0 + 0.5 * x + 0.3 * np.sin(4 * y)
    error = np.exp(0.25 * x - 0.2 * y**2 + 0.1)
    rng = np.random.default_rng(0)
    pixels = rng.uniform([0, 0], [99, 79], (80, 2))
    depth = true[tuple(np.round(pixels[:, ::-1]).astype(int).T)]
    depth = depth * np.exp(rng.normal(0, 0.03, 80))
    depth[:6] *= 2.0  # on another object
    rays = Intrinsics.centred(100, 80, 90.0).rays()
    return true, (rays * (true * error)[..., None]).astype(np.float32), pixels, depth


def error_of(points, true):
    return np.abs(points[..., 2] / true - 1).mean()


def test_a_smooth_error_is_taken_out(wrong):
    true, points, pixels, depth = wrong
    refined = refine_depth(points, pixels, depth, np.full(80, 0.03))
    assert error_of(refined, true) < 0.3 * error_of(points, true)
    slopes = points[..., :2] / points[..., 2:]
    assert np.allclose(refined[..., :2] / refined[..., 2:], slopes, atol=1e-5)


def test_depths_count_by_how_sure_they_are(wrong):
    true, points, pixels, depth = wrong
    rng = np.random.default_rng(2)
    sigma = np.where(np.arange(80) % 2, 0.03, 0.8)
    depth = depth * np.exp(np.where(sigma > 0.1, rng.normal(0, 0.8, 80), 0.0))
    told = refine_depth(points, pixels, depth, sigma)
    untold = refine_depth(points, pixels, depth, np.full(80, 0.1))
    assert error_of(told, true) < 0.4 * error_of(points, true)
    assert error_of(told, true) < 0.6 * error_of(untold, true)


def test_few_points_change_nothing(wrong):
    _, points, pixels, depth = wrong
    sure = np.full(80, 0.03)
    assert refine_depth(points, pixels[:15], depth[:15], sure[:15]) is points
    assert refine_depth(points, pixels + 500, depth, sure) is points
    assert refine_depth(points, pixels, depth, np.full(80, 2.0)) is points


def test_points_in_a_corner_change_little_elsewhere(wrong):
    _, points, _, _ = wrong
    rng = np.random.default_rng(1)
    pixels = rng.uniform([0, 0], [15, 15], (40, 2))
    z = points[tuple(np.round(pixels[:, ::-1]).astype(int).T)][:, 2]
    refined = refine_depth(points, pixels, 1.3 * z, np.full(40, 0.03))
    ratio = refined[..., 2] / points[..., 2]
    assert ratio[5, 5] > 1.2
    assert abs(ratio[70, 90] - 1) < 0.1
