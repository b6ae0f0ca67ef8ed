import math

import numpy as np
import pytest

from ttt3r_ros.errors import ImageError
from ttt3r_ros.geometry.se3 import from_translation_quat, inverse
from ttt3r_ros.node.frames import (
    Epoch,
    FrameNames,
    TwistEstimator,
    camera_covariance,
    frame_of_map_points,
    level_camera,
    twist_covariance,
)
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.view import Tracking, View

FORWARD, DOWN, RIGHT = np.array([0, 0, 1.0]), np.array([0, 1.0, 0]), np.array([1.0, 0, 0])


def turn(axis: list[float], angle: float) -> np.ndarray:
    sine = math.sin(angle / 2)
    return from_translation_quat([0, 0, 0], [math.cos(angle / 2), *(sine * np.array(axis))])


def test_level_camera_turns_optical_axes_into_those_of_a_body():
    R = level_camera(0.0)[:3, :3]
    assert np.allclose(R @ FORWARD, [1, 0, 0])
    assert np.allclose(R @ RIGHT, [0, -1, 0])
    assert np.allclose(R @ DOWN, [0, 0, -1])


def test_tilted_camera_looks_down():
    R = level_camera(0.3)[:3, :3]
    assert np.allclose(R @ FORWARD, [math.cos(0.3), 0, -math.sin(0.3)])
    assert np.allclose(R @ RIGHT, [0, -1, 0])


def test_camera_alone_starts_at_the_origin_of_a_z_up_map():
    epoch = Epoch(np.eye(4))
    ahead = np.eye(4)
    ahead[:3, 3] = [0, -1, 2]  # one metre up, two ahead, in optical axes
    assert np.allclose(epoch.odom_base(np.eye(4))[:3, 3], 0)
    assert np.allclose(epoch.odom_base(ahead)[:3, 3], [2, 0, 1])


def test_whatever_the_network_says_of_the_first_image_poses_start_from_identity():
    first = from_translation_quat([0.1, 0.2, 0.3], [0.9, 0.1, 0.2, 0.3])
    mounting = level_camera(0.2)
    epoch = Epoch(first, mounting)
    assert np.allclose(epoch.odom_base(first), np.eye(4))
    step = from_translation_quat([0, 0, 1.0], [1, 0, 0, 0])
    assert np.allclose(epoch.odom_base(first @ step), mounting @ step @ inverse(mounting))


def test_robot_starts_at_identity_and_its_mounting_levels_the_map():
    mounting = from_translation_quat([0.2, 0, 0.5], [1, 0, 0, 0]) @ level_camera(0.4)
    epoch = Epoch(np.eye(4), mounting)
    assert np.allclose(epoch.odom_base(np.eye(4)), np.eye(4))
    # Driving one metre forward as the tilted camera sees it.
    T_odom_base = from_translation_quat([1, 0, 0], [1, 0, 0, 0])
    T_world_camera = inverse(mounting) @ T_odom_base @ mounting
    assert np.allclose(epoch.odom_base(T_world_camera), T_odom_base)


def test_map_to_odom_makes_up_for_other_odometry():
    mounting = level_camera(0.1)
    epoch = Epoch(np.eye(4), mounting)
    other = from_translation_quat([5, 6, 0], [0.8, 0, 0, 0.6])
    T_world_camera = from_translation_quat([0.1, 0.2, 0.3], [0.9, 0.1, 0.2, 0.3])
    T_map_odom = epoch.follow_odometry(T_world_camera, other)
    camera = T_map_odom @ other @ mounting
    assert np.allclose(camera, epoch.T_map_world @ T_world_camera)


def test_own_estimate_in_the_odom_of_another_source_starts_where_that_is_and_is_continuous():
    epoch = Epoch(np.eye(4), level_camera(0.0))
    first = from_translation_quat([5, 6, 0], [0.8, 0, 0, 0.6])
    epoch.follow_odometry(np.eye(4), first)
    assert np.allclose(epoch.odom_base(np.eye(4)), first)
    before = epoch.odom_base(np.eye(4))
    epoch.follow_odometry(np.eye(4), from_translation_quat([9, 9, 0], [1, 0, 0, 0]))
    assert np.allclose(epoch.odom_base(np.eye(4)), before)


def test_twist_is_in_the_moving_frame():
    twist = TwistEstimator()
    start = from_translation_quat([0, 0, 0], [math.cos(0.6), 0, 0, math.sin(0.6)])
    half = turn([0, 0, 1], 0.025)
    step = half @ from_translation_quat([0.1, 0, 0], [1, 0, 0, 0]) @ half
    assert np.allclose(twist.update(10.0, start, Tracking(status='first')), 0)
    moved = twist.update(10.5, start @ step, Tracking(status='tracked'))
    assert np.allclose(moved, [0.2, 0, 0, 0, 0, 0.1])
    assert twist.interval == pytest.approx(0.5)


def test_a_robot_that_drives_a_curve_does_not_move_sideways():
    twist, radius = TwistEstimator(), 0.5
    for angle in (0.3, 0.5):  # 1 rad/s, at five images a second
        place = [radius * math.sin(angle), radius * (1 - math.cos(angle)), 0]
        pose = from_translation_quat(place, [math.cos(angle / 2), 0, 0, math.sin(angle / 2)])
        velocity = twist.update(angle, pose, Tracking(status='tracked'))
    assert np.allclose(velocity, [0.5, 0, 0, 0, 0, 1.0], atol=1e-3)
    assert velocity[1] == pytest.approx(0, abs=1e-9)


def test_the_leap_out_of_a_blur_is_no_velocity():
    twist, tracked = TwistEstimator(), Tracking(status='tracked')
    blurred = Tracking(status='network', blurred=True)
    places = [(0.0, tracked), (0.1, tracked), (0.5, blurred), (0.6, blurred), (0.4, tracked)]
    velocities = []
    for second, (x, tracking) in enumerate(places):
        pose = from_translation_quat([x, 0, 0], [1, 0, 0, 0])
        velocities.append(twist.update(float(second), pose, tracking)[0])
    assert np.allclose(velocities, [0, 0.1, 0.4, 0.1, 0.1])  # the last: 0.3 m in 3 s
    assert twist.interval == pytest.approx(3.0)


@pytest.fixture
def view(fake_view):
    def make(confidence: float = 2.0, depth: float = 2.0, **tracking) -> View:
        return fake_view(confidence=confidence, depth=depth, tracking=Tracking(**tracking))

    return make


def test_uncertainty_falls_with_confidence_and_grows_with_distance(view):
    usual = camera_covariance(view(status='network'), 1.0)
    assert (np.diag(camera_covariance(view(10.0, status='network'), 1.0)) < np.diag(usual)).all()
    far = camera_covariance(view(2.0, 4.0, status='network'), 1.0)
    assert np.allclose(far[:3, :3], 4 * usual[:3, :3])
    assert np.allclose(camera_covariance(view(status='network'), 3.0), 9 * usual)


def test_a_solved_pose_brings_its_own_uncertainty(view):
    known = np.diag(np.arange(1.0, 7.0))
    solved = view(status='tracked', covariance=known)
    assert np.allclose(camera_covariance(solved, 2.0), 4 * known)


def test_uncertainty_follows_the_axes():
    ahead_unsure = np.diag([0, 0, 1.0, 0, 0, 0])  # along the optical axis, x of the map
    assert np.allclose(
        Epoch(np.eye(4)).odom_covariance(np.eye(4), ahead_unsure), np.diag([1.0, 0, 0, 0, 0, 0])
    )


def test_uncertain_rotation_of_the_camera_moves_the_base_behind_it():
    mounting = from_translation_quat([2, 0, 0], [1, 0, 0, 0]) @ level_camera(0.0)
    yaw_unsure = np.diag([0, 0, 0, 0, 0.01, 0])  # about the camera's y, the vertical
    carried = Epoch(np.eye(4), mounting).odom_covariance(np.eye(4), yaw_unsure)
    assert np.diag(carried) == pytest.approx([0, 0.04, 0, 0, 0, 0.01])


def test_uncertainty_of_velocity():
    covariance = np.diag([1.0, 0, 0, 0, 0, 0])
    turned = turn([0, 0, 1], math.pi / 2)
    velocity = twist_covariance(covariance, turned, 0.5)
    assert np.allclose(velocity, np.diag([0, 8.0, 0, 0, 0, 0]))
    assert (np.diag(twist_covariance(covariance, turned, 0.0)) > 1000).all()


def test_names_take_the_prefix_and_the_frame_of_the_images():
    names = FrameNames.resolve(NodeConfig(frame_prefix='left/'), 'optical')
    assert names == FrameNames('left/map', 'left/odom', 'left/optical', 'left/optical')
    robot = NodeConfig(base_frame='base_link', camera_frame='eye')
    assert FrameNames.resolve(robot, 'optical') == FrameNames('map', 'odom', 'base_link', 'eye')


def test_points_of_the_map_are_in_odom_where_map_is_a_localisers():
    assert frame_of_map_points(NodeConfig(frame_prefix='left/')) == 'left/map'
    assert frame_of_map_points(NodeConfig(publish_map_tf=False)) == 'odom'
    with_wheels = NodeConfig(publish_map_tf=False, publish_odom_tf=False)
    assert frame_of_map_points(with_wheels) == 'map'  # our own, for their odom is not ours


def test_the_slash_of_older_drivers_is_no_part_of_the_name():
    names = FrameNames.resolve(NodeConfig(frame_prefix='left/'), '/optical')
    assert names == FrameNames('left/map', 'left/odom', 'left/optical', 'left/optical')


@pytest.mark.parametrize('frame', ['', 'map', 'odom', '/', '/map'])
def test_images_without_a_usable_frame_are_refused(frame):
    with pytest.raises(ImageError):
        FrameNames.resolve(NodeConfig(), frame)


@pytest.mark.parametrize(
    'frames',
    [
        {'map_frame': ''},
        {'odom_frame': 'map'},
        {'base_frame': 'odom'},
        {'frame_prefix': '/left/'},
        {'base_frame': '/base_link'},
    ],
)
def test_frames_must_be_named_and_differ_and_begin_without_a_slash(frames):
    with pytest.raises(ValueError, match='frame'):
        NodeConfig(**frames)
