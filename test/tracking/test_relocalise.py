"""Which keyframes can be found again, and which of them is taken."""

import cv2
import numpy as np
import pytest
from room import CAMERA, MAPPING, feed, handheld, render, small_points
from scipy.spatial.transform import Rotation

from ttt3r_ros.geometry.se3 import inverse
from ttt3r_ros.tracking import relocalise
from ttt3r_ros.tracking.frame import TrackingFrame
from ttt3r_ros.tracking.pnp import PnpTracker
from ttt3r_ros.tracking.relocalise import Places

FRAMES = 40


@pytest.fixture(scope='module')
def film():
    poses = handheld(FRAMES)
    return poses, [render(pose) for pose in poses]


def prepared(image, depth):
    points = small_points(depth)
    confidence = np.ones(points.shape[:2], np.float32)
    return TrackingFrame.prepare(image, points, confidence, MAPPING, CAMERA, 640)


def other_room(number):
    """Return a view of a room with other walls, near the start."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec([0, 0.01 * number, 0]).as_matrix()
    pose[:3, 3] = [0.02 * number, 0, 0.01 * number]
    return render(pose, seed=7)


def test_the_place_that_most_points_agree_with_is_taken(film, monkeypatch):
    poses, frames = film
    places = Places()
    for index in (10, 20, 38):  # from the latest, too, frame 11 can be found, but not so well
        places.add(inverse(poses[index]), prepared(*frames[index]), 0.0)
    found = places.find(prepared(*frames[11]))
    assert np.abs(inverse(found.T_camera_world) - poses[11]).max() < 5e-3
    compared = []
    original = relocalise._compare
    monkeypatch.setattr(
        relocalise, '_compare', lambda *given: compared.append(original(*given)) or compared[-1]
    )
    again = places.find(prepared(*frames[11]))
    assert [one is not None for one in compared] == [True, True, True]
    assert again.inliers == max(one.inliers for one in compared) > compared[0].inliers


def test_a_young_map_pushes_out_no_other(film):
    poses, frames = film
    track = PnpTracker()
    for image, depth in frames[:12]:
        feed(track, image, depth)
    track.finish()
    for number in range(12):
        elsewhere = feed(track, *other_room(number))
    assert elsewhere.status == 'tracked'
    back = feed(track, *frames[11])
    assert back.status == 'tracked'
    assert np.abs(back.T_world_camera - poses[11]).max() < 0.03
    assert back.depth_scale == pytest.approx(1.0, abs=0.05)


def test_places_are_bounded_and_the_oldest_go_first(film):
    poses, frames = film
    places, frame = Places(), prepared(*frames[0])
    for number in range(60):
        if number % 3 == 0:
            places.begin_map()
        places.add(poses[0], frame, float(number))
    assert [place.log_scale for place in places._places] == [float(n) for n in range(50, 60)]
    for number in range(60, 70):
        places.add(poses[0], frame, float(number))
    assert [place.log_scale for place in places._places] == [
        *(float(n) for n in range(52, 57)), *(float(n) for n in range(65, 70))
    ]  # fmt: skip


def test_a_scaling_of_the_map_moves_its_own_places_alone(film):
    poses, frames = film
    places, frame = Places(), prepared(*frames[0])
    places.add(inverse(poses[8]), frame, 0.1)
    places.begin_map()
    places.add(inverse(poses[20]), frame, 0.1)
    places.rescale(float(np.log(2.0)), np.zeros(3))
    old, own = places._places
    assert old.log_scale == 0.1
    np.testing.assert_array_equal(old.T_camera_world, inverse(poses[8]))
    assert own.log_scale == pytest.approx(0.1 + np.log(2.0))
    positions = inverse(own.T_camera_world)[:3, 3]
    np.testing.assert_allclose(positions, 2.0 * poses[20][:3, 3], atol=1e-12)


def test_a_bare_wall_after_a_blur_leaves_the_pose_where_the_blur_has_led(film):
    _, frames = film
    track = PnpTracker()
    for image, depth in frames[:10]:
        feed(track, image, depth)
    network, step = np.eye(4), np.eye(4)
    step[2, 3] = 0.08
    for image, depth in frames[10:12]:
        network = network @ step
        blurred = feed(track, cv2.GaussianBlur(image, (0, 0), 12), depth, network)
    assert blurred.blurred
    for _ in range(2):
        lost = feed(track, np.full_like(frames[0][0], 120), frames[12][1], network)
        assert lost.status == 'lost'
        np.testing.assert_array_equal(lost.T_world_camera, blurred.T_world_camera)
    assert feed(track, *frames[12], network).status == 'tracked'
    dark = feed(track, np.zeros_like(frames[0][0]), frames[12][1], network)
    assert dark.status == 'lost'
    assert np.abs(dark.T_world_camera - blurred.T_world_camera).max() > 0.02
