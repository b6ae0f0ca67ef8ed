"""A packed path reads as the message that it stands for."""

from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from ttt3r_ros.node.conversions import pose_message
from ttt3r_ros.node.packed_path import PackedPath


def header(second: int, frame: str) -> Header:
    return Header(stamp=Time(sec=second, nanosec=second + 7), frame_id=frame)


def poses(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(count)
    made = np.tile(np.eye(4), (count, 1, 1))
    made[:, :3, :3] = Rotation.random(count, random).as_matrix()
    made[:, :3, 3] = random.normal(size=(count, 3))
    return list(made)


def expected(motions, frame: str, path_frame: str) -> Path:
    stamped = [
        PoseStamped(header=header(second, frame), pose=pose_message(motion))
        for second, motion in enumerate(motions)
    ]
    return Path(header=header(99, path_frame), poses=stamped)


@pytest.mark.parametrize('path_frame', ['o', 'od', 'odo', 'odom', 'odom/', 'odom/a', 'odom/ab'])
@pytest.mark.parametrize('frame', ['', 'odom', 'robot1/odom', 'ein_längerer_name'])
@pytest.mark.parametrize('count', [1, 3])
def test_it_reads_as_the_message_whatever_the_alignment(frame, path_frame, count):
    path, motions = PackedPath(5), poses(count)
    for second, motion in enumerate(motions):
        path.append(motion, header(second, frame))
    read = deserialize_message(path.message(header(99, path_frame)), Path)
    assert read == expected(motions, frame, path_frame)


def test_an_empty_path_is_a_message_too():
    read = deserialize_message(PackedPath(5).message(header(99, 'odom')), Path)
    assert read == Path(header=header(99, 'odom'))


@pytest.mark.parametrize('count', [2, 3, 4, 5, 6, 7, 8, 100])
def test_the_newest_poses_stay_in_order(count):
    path, motions = PackedPath(3), poses(count)
    for second, motion in enumerate(motions):
        path.append(motion, header(second, 'odom'))
    read = deserialize_message(path.message(header(99, 'odom')), Path)
    assert read.poses == expected(motions, 'odom', 'odom').poses[-3:]
    assert len(path) == min(count, 3)


def test_another_frame_starts_anew():
    path = PackedPath(3)
    for frame in ('odom', 'odom', 'map'):
        path.append(np.eye(4), header(1, frame))
    read = deserialize_message(path.message(header(99, 'map')), Path)
    assert [pose.header.frame_id for pose in read.poses] == ['map']
    path.clear()
    assert len(path) == 0
