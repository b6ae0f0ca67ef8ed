"""The readout time of a camera, from the images alone."""

from itertools import pairwise

import numpy as np
import pytest
from room import CAMERA, HEIGHT, feed, render
from scipy.spatial.transform import Rotation

from ttt3r_ros.geometry.se3 import inverse
from ttt3r_ros.tracking.landmarks import LandmarkMap
from ttt3r_ros.tracking.pnp import PnpTracker, TrackerConfig
from ttt3r_ros.tracking.pose import project, solve_pose
from ttt3r_ros.tracking.shutter import ShutterEstimate, readout_shift

MATRIX = CAMERA.matrix
FRAMES = 40


def swinging(times: np.ndarray) -> np.ndarray:
    """Return T_world_camera at times in frames: a camera that looks about unevenly [N, 4, 4]."""
    angles = 0.2 * np.sin(np.outer(times, [0.31, 0.43, 0.17]))
    poses = np.tile(np.eye(4), (len(times), 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(angles).as_matrix()
    poses[:, 0, 3] = 0.004 * times
    return poses


def panning(times: np.ndarray) -> np.ndarray:
    """Return the same of a camera that turns to the right at constant speed."""
    poses = np.tile(np.eye(4), (len(times), 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(np.outer(times, [0.0, 0.02, 0.0])).as_matrix()
    return poses


def seen_at(points: np.ndarray, path, frame: int, readout: float) -> np.ndarray:
    """Return where a camera with a rolling shutter sees points [N, 2]."""
    row = np.full(len(points), HEIGHT / 2)
    for _ in range(8):  # the row tells when it is read
        poses = inverse(path(frame + readout * (row / HEIGHT - 0.5)))
        local = np.einsum('nij,nj->ni', poses[:, :3, :3], points) + poses[:, :3, 3]
        pixels = (local @ MATRIX.T)[:, :2] / local[:, 2:]
        row = pixels[:, 1]
    return pixels


def moving(times: np.ndarray) -> np.ndarray:
    """Return the same of a camera that moves sideways and down, unevenly, and hardly turns."""
    poses = np.tile(np.eye(4), (len(times), 1, 1))
    poses[:, :2, 3] = 0.3 * np.sin(np.outer(times, [0.31, 0.2]))
    poses[:, :3, :3] = Rotation.from_rotvec(
        0.005 * np.sin(np.outer(times, [0.3, 0.4, 0]))
    ).as_matrix()
    return poses


def learnt(
    path, readout: float, start: float, *, anchored: bool = False, slope: float = 0.0
) -> float:
    """
    Return what is learnt of points whose place is known, or only by the first image.

    :param slope: by which those below are thought to be too far away
    """
    rng = np.random.default_rng(2)
    points = rng.uniform([-2, -1.5, 2], [2, 1.5, 5], (200, 3))
    thought = points * (1 + slope * points[:, 1:2] / points[:, 2:])
    estimate = ShutterEstimate(start)
    pixels = [seen_at(points, path, frame, readout) for frame in range(-1, FRAMES)]
    pixels = [p + rng.normal(0, 0.1, p.shape) for p in pixels]
    first = readout_shift(pixels[1], pixels[0], HEIGHT)
    local = points @ inverse(path(np.zeros(1)))[0, :3, :3].T
    poses = [np.eye(4), np.eye(4)]
    for before, now in pairwise(pixels[1:]):
        shift = readout_shift(now, before, HEIGHT)
        world, at_first = thought, np.zeros_like(first)
        if anchored:  # on the rays of the first image, as far as it is corrected
            at_first = first
            rays = np.ones((200, 3))
            corrected = pixels[1] - estimate.readout * first
            rays[:, :2] = (corrected - MATRIX[:2, 2]) / MATRIX[[0, 1], [0, 1]]
            world = rays * local[:, 2:]
        corrected = now - estimate.readout * shift
        inside = (np.abs(corrected - MATRIX[:2, 2]) < [160, 120]).all(axis=1)
        solution = solve_pose(world[inside], corrected[inside], MATRIX, (poses[-1],), 5.0, 20)
        assert solution is not None
        poses.append(solution.T_camera_world)
        estimate.learn(
            world[inside],
            now[inside],
            before[inside],
            at_first[inside],
            poses[-1],
            poses[-1] @ inverse(poses[-2]),
            MATRIX,
            HEIGHT,
        )
    return estimate.readout


@pytest.mark.parametrize('readout', [-0.4, 0.0, 0.8])
@pytest.mark.parametrize(('anchored', 'error'), [(False, 0.06), (True, 0.15)])
def test_an_unsteady_camera_tells_its_readout_time(readout, anchored, error):
    found = learnt(swinging, readout, 0.5, anchored=anchored)
    assert found == pytest.approx(readout, abs=error)


@pytest.mark.parametrize('start', [0.0, 0.4, 0.8])
def test_a_steady_camera_does_not_mislead(start):
    """All images are sheared alike, and nearly agree whatever is thought."""
    assert abs(learnt(panning, 0.4, start, anchored=True) - 0.4) < abs(start - 0.4) + 0.15


def test_wrong_depths_are_not_taken_for_a_rolling_shutter():
    """They bend the flow of a camera that moves, as a shutter does; of one that turns, not."""
    assert learnt(moving, 0.0, 0.0, slope=0.1) == pytest.approx(0.0, abs=0.1)
    assert learnt(moving, 0.0, 0.5, slope=0.1) == pytest.approx(0.5, abs=0.1)


def test_the_readout_time_stays_within_the_time_between_images():
    assert learnt(swinging, 1.6, 0.5) == 1.0


@pytest.mark.parametrize('readout', [0.0, 0.8])
def test_the_tracker_finds_the_readout_time_of_its_camera(readout):
    track = PnpTracker(TrackerConfig(features=200))
    rows = readout * ((np.arange(HEIGHT) + 0.5) / HEIGHT - 0.5)
    for frame in range(FRAMES):
        view = feed(track, *render(swinging(frame + rows)))
        assert view.status != 'network'
    assert track.readout == pytest.approx(readout, abs=0.15)
    # and the map goes by it, since its latest keyframe
    assert track._mapper.landmarks.readout == pytest.approx(track.readout, abs=0.1)
    track.reset()
    assert track.readout == TrackerConfig().rolling_shutter


def test_pixels_of_the_map_are_corrected_anew_when_more_is_known():
    rng = np.random.default_rng(3)
    pixels = rng.uniform(0, 200, (2, 9, 2)).astype(np.float32)
    shift = rng.normal(0, 5, (2, 9, 2))

    def build(*readouts: float) -> LandmarkMap:
        landmarks = LandmarkMap(np.eye(4))
        landmarks.correct(readouts[0])
        landmarks.insert(pixels[0], np.zeros((9, 2)), np.zeros(9))
        landmarks.shift_first(np.arange(9), shift[0])
        landmarks.add_keyframe(np.eye(4), np.arange(9), pixels[1], shift[1])
        for readout in readouts[1:]:
            landmarks.correct(readout)
        return landmarks

    now, later = build(0.3), build(0.9, -0.2, 0.3)
    np.testing.assert_allclose(now.seen, pixels - 0.3 * shift, atol=1e-9)
    np.testing.assert_allclose(later.seen, now.seen, atol=1e-9)
    np.testing.assert_allclose(later.points.anchor_pixels, now.seen[0], atol=1e-9)
    later.drop_oldest(MATRIX)
    assert (later.points.anchor == 0).all()
    np.testing.assert_allclose(later.points.anchor_shift, shift[1])


def test_a_camera_at_rest_tells_nothing():
    """Noise, which the correction makes greater, would speak for none."""
    rng, estimate = np.random.default_rng(0), ShutterEstimate(0.5)
    points = rng.uniform([-1, -1, 2], [1, 1, 4], (100, 3))
    pixels = project(points, np.eye(4), MATRIX)
    noisy = [pixels + rng.normal(0, 0.2, (100, 2)) for _ in range(400)]
    poses, still = [np.eye(4)], np.zeros((100, 2))
    for before, now in pairwise(noisy):
        corrected = now - estimate.readout * readout_shift(now, before, HEIGHT)
        solution = solve_pose(points, corrected, MATRIX, (np.eye(4),), 3.0, 20)
        assert solution is not None
        poses.append(solution.T_camera_world)
        motion = poses[-1] @ inverse(poses[-2])
        estimate.learn(points, now, before, still, poses[-1], motion, MATRIX, HEIGHT)
    assert estimate.readout == pytest.approx(0.5, abs=0.05)


def test_points_in_one_place_tell_nothing():
    rng = np.random.default_rng(4)
    motion, still = np.eye(4), np.zeros((30, 2))
    motion[:3, :3] = Rotation.from_rotvec([0.02, 0.01, 0.0]).as_matrix()
    for distance in np.geomspace(0.01, 10, 200):
        estimate = ShutterEstimate(0.5)
        points = np.tile(rng.uniform([-0.3, -0.3, 1], [0.3, 0.3, 1], 3) * distance, (30, 1))
        pixels = project(points, np.eye(4), MATRIX)
        before = pixels + rng.normal(0, 3, 2)
        estimate.learn(points, pixels, before, still, np.eye(4), motion, MATRIX, HEIGHT)
        assert np.isfinite(estimate.readout)
