"""The overlay's buffer answers as tf2 does; these tests pass with the real tf2_ros too."""

from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import TransformStamped
import numpy as np
import pytest
from rclpy.duration import Duration
from rclpy.time import Time
from scipy.spatial.transform import Rotation
import tf2_ros


def transform(parent, child, seconds, translation=(0.0, 0.0, 0.0), yaw=0.0):
    message = TransformStamped()
    message.header.frame_id, message.child_frame_id = parent, child
    sec, nanosec = divmod(round(seconds * 10**9), 10**9)
    message.header.stamp = TimeMessage(sec=sec, nanosec=nanosec)
    move, turn = message.transform.translation, message.transform.rotation
    move.x, move.y, move.z = map(float, translation)
    turn.x, turn.y, turn.z, turn.w = Rotation.from_euler('z', yaw).as_quat().tolist()
    return message


def matrix(message):
    move, turn = message.transform.translation, message.transform.rotation
    result = np.eye(4)
    result[:3, :3] = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_matrix()
    result[:3, 3] = move.x, move.y, move.z
    return result


def at(seconds):
    return Time(nanoseconds=round(seconds * 10**9))


@pytest.fixture
def buffer():
    """Hold map → odom → base → camera and base → wheel; camera is static."""
    buffer = tf2_ros.Buffer()
    for second in (10.0, 11.0, 12.0):
        buffer.set_transform(transform('map', 'odom', second, (0, 0, 1)), 'test')
        buffer.set_transform(
            transform('odom', 'base', second, (second, 0, 0), 0.2 * second), 'test'
        )
    buffer.set_transform(transform('base', 'wheel', 11.5, (0, 0.5, 0)), 'test')
    buffer.set_transform_static(transform('base', 'camera', 0.0, (0.1, 0, 0.3), 0.7), 'test')
    return buffer


def test_chain_composes_from_source_to_target(buffer):
    found = buffer.lookup_transform('map', 'camera', at(11.0))
    expected = (
        matrix(transform('', '', 0, (0, 0, 1)))
        @ matrix(transform('', '', 0, (11, 0, 0), 2.2))
        @ matrix(transform('', '', 0, (0.1, 0, 0.3), 0.7))
    )
    np.testing.assert_allclose(matrix(found), expected, atol=1e-12)
    assert (found.header.frame_id, found.child_frame_id) == ('map', 'camera')
    assert found.header.stamp == TimeMessage(sec=11)


def test_opposite_direction_is_the_inverse(buffer):
    forth = matrix(buffer.lookup_transform('map', 'camera', at(11.25)))
    back = matrix(buffer.lookup_transform('camera', 'map', at(11.25)))
    np.testing.assert_allclose(forth @ back, np.eye(4), atol=1e-12)


def test_time_is_interpolated_along_line_and_arc(buffer):
    found = matrix(buffer.lookup_transform('odom', 'base', at(10.25)))
    expected = matrix(transform('', '', 0, (10.25, 0, 0), 0.2 * 10.25))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_branches_meet_at_their_common_ancestor(buffer):
    # wheel is known at 11.5 only, and neither way goes over odom or map
    found = matrix(buffer.lookup_transform('wheel', 'camera', at(11.5)))
    expected = np.linalg.inv(matrix(transform('', '', 0, (0, 0.5, 0)))) @ matrix(
        transform('', '', 0, (0.1, 0, 0.3), 0.7)
    )
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_time_zero_is_the_latest_common_time(buffer):
    buffer.set_transform(transform('odom', 'base', 13.0), 'test')
    assert buffer.lookup_transform('map', 'base', Time()).header.stamp.sec == 12
    assert buffer.lookup_transform('odom', 'base', Time()).header.stamp.sec == 13


def test_static_transform_holds_at_any_time(buffer):
    for seconds in (0.0, 1.0, 1e6):
        found = buffer.lookup_transform('base', 'camera', at(seconds))
        assert found.transform.translation.z == pytest.approx(0.3)


def test_same_frame_is_the_identity(buffer):
    found = buffer.lookup_transform('base', 'base', at(11.0))
    np.testing.assert_allclose(matrix(found), np.eye(4), atol=1e-12)


@pytest.mark.parametrize(
    ('target', 'source', 'seconds', 'error'),
    [
        ('map', 'nowhere', 11.0, tf2_ros.LookupException),
        ('nowhere', 'map', 11.0, tf2_ros.LookupException),
        ('map', 'camera', 9.5, tf2_ros.ExtrapolationException),
        ('map', 'camera', 12.5, tf2_ros.ExtrapolationException),
        ('base', 'wheel', 11.6, tf2_ros.ExtrapolationException),
        ('map', 'island', 0.0, tf2_ros.ConnectivityException),
        ('map', 'island', 11.0, tf2_ros.ConnectivityException),
        ('', 'map', 11.0, tf2_ros.InvalidArgumentException),
        ('/map', 'camera', 11.0, tf2_ros.InvalidArgumentException),
    ],
)
def test_what_cannot_be_found_says_why(buffer, target, source, seconds, error):
    buffer.set_transform_static(transform('sea', 'island', 0.0), 'test')
    with pytest.raises(error) as caught:
        buffer.lookup_transform(target, source, at(seconds))
    assert isinstance(caught.value, tf2_ros.TransformException)
    assert not buffer.can_transform(target, source, at(seconds))


def test_extrapolation_names_times_and_frames(buffer):
    with pytest.raises(tf2_ros.ExtrapolationException, match=r'future.*\[camera\].*\[map\]'):
        buffer.lookup_transform('map', 'camera', at(12.5))
    with pytest.raises(tf2_ros.ExtrapolationException, match='past'):
        buffer.lookup_transform('map', 'camera', at(9.5))


def test_history_ends_ten_seconds_back(buffer):
    assert buffer.can_transform('odom', 'base', at(10.5))
    for second in (21.0, 21.1):  # some releases of tf2 clear up one sample late
        buffer.set_transform(transform('odom', 'base', second), 'test')
    assert not buffer.can_transform('odom', 'base', at(10.5))
    assert buffer.can_transform('odom', 'base', at(12.5))


def test_cache_time_can_be_chosen():
    buffer = tf2_ros.Buffer(cache_time=Duration(seconds=1))
    for second in (1.0, 1.8, 2.5, 2.6):
        buffer.set_transform(transform('a', 'b', second), 'test')
    assert not buffer.can_transform('a', 'b', at(1.2))
    assert buffer.can_transform('a', 'b', at(2.0))


def test_late_samples_find_their_place(buffer):
    buffer.set_transform(transform('odom', 'base', 11.5, (100, 0, 0)), 'test')
    found = buffer.lookup_transform('odom', 'base', at(11.25))
    assert found.transform.translation.x == pytest.approx(55.5)


def test_frame_may_change_its_parent(buffer):
    buffer.set_transform(transform('map', 'base', 13.0, (5, 0, 0)), 'test')
    assert buffer.lookup_transform('map', 'base', at(13.0)).transform.translation.x == 5
    assert buffer.lookup_transform('map', 'base', at(12.0)).transform.translation.x == 12


@pytest.mark.parametrize(
    'broken',
    [
        transform('odom', 'base', 12.5, (float('nan'), 0, 0)),
        transform('base', 'base', 12.5),
        transform('', 'base', 12.5),
        transform('odom', '', 12.5),
    ],
)
def test_what_cannot_be_right_is_ignored(buffer, broken):
    buffer.set_transform(broken, 'test')
    found = buffer.lookup_transform('odom', 'base', Time())
    assert found.header.stamp.sec == 12


def test_quaternion_must_be_of_unit_length(buffer):
    broken = transform('odom', 'base', 12.5)
    broken.transform.rotation.w = 3.0
    buffer.set_transform(broken, 'test')
    assert buffer.lookup_transform('odom', 'base', Time()).header.stamp.sec == 12


def test_clear_forgets_what_moves(buffer):
    buffer.clear()
    assert not buffer.can_transform('map', 'base', Time())
