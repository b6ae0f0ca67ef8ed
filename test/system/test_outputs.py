"""Every output: type, stamp, frame, content."""

from itertools import count
import time

from harness import HEIGHT, WIDTH, image, seconds
import numpy as np
import pytest
from rclpy.time import Time
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from sensor_msgs_py import point_cloud2

from ttt3r_ros.geometry.se3 import inverse
from ttt3r_ros.node.conversions import transform_from_message
from ttt3r_ros.node.frames import level_camera
from ttt3r_ros.node.outputs import TOPICS

T0, COUNT = 100.0, 6
VOXEL = 0.05  # metres, the default
STAMPS = [T0 + 0.1 * index for index in range(COUNT)]
EACH_FRAME = [name for name in TOPICS if name != 'map_points']


@pytest.fixture(scope='module')
def client(tmp_path_factory, weights):
    """Return a client that has heard everything that is said about some images."""
    from harness import running_system

    with running_system(tmp_path_factory.mktemp('outputs'), weights) as system:
        system.start(input_queue=20, organized_points=True, max_path_length=4, map_rate=10.0)
        client = system.client
        client.listen(*TOPICS)
        client.listen_to_tf()
        for index, at in enumerate(STAMPS):
            client.send(image(index, at))
        for name in EACH_FRAME:
            client.wait_for_stamp(name, STAMPS[-1])
        client.wait_for_stamp('map_points', STAMPS[-1])
        client.until(
            lambda: client.buffer.can_transform('map', 'optical', _time(STAMPS[-1])), 'TF'
        )
        yield client


def _time(at: float) -> Time:
    return Time(nanoseconds=round(at * 1e9))


def pixels(message) -> np.ndarray:
    kind = {'32FC1': '<f4', 'rgb8': 'u1'}[message.encoding]
    return np.frombuffer(message.data, kind).reshape(message.height, message.width, -1).squeeze()


def colors(cells: np.ndarray) -> np.ndarray:
    packed = np.ascontiguousarray(cells['rgb']).view(np.uint32).ravel()
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=-1)


def pose(message) -> np.ndarray:
    from ttt3r_ros.io.ros_messages import pose as read_pose

    return read_pose(message)


@pytest.mark.parametrize('topic', EACH_FRAME)
def test_every_image_gives_one_message_with_its_stamp(client, topic):
    assert client.stamps(topic) == [round(at, 6) for at in STAMPS]
    assert all(isinstance(message, TOPICS[topic]) for message in client.received[topic])


@pytest.mark.parametrize(
    ('topic', 'frame'),
    [(name, 'optical') for name in EACH_FRAME if name not in ('odometry', 'path')]
    + [('odometry', 'odom'), ('path', 'odom'), ('map_points', 'map')],
)
def test_frames(client, topic, frame):
    assert {message.header.frame_id for message in client.received[topic]} == {frame}


def test_depth_is_exactly_z_of_the_points(client):
    for depth, points in zip(
        client.received['depth/image'], client.received['points'], strict=True
    ):
        z = point_cloud2.read_points(points)['z'].reshape(points.height, points.width)
        assert np.array_equal(pixels(depth), z, equal_nan=True)
        assert np.isfinite(z).any()


def test_color_depth_and_confidence_are_registered(client):
    color, depth = client.received['color/image'][0], client.received['depth/image'][0]
    confidence = client.received['confidence/image'][0]
    sizes = {(m.width, m.height) for m in (color, depth, confidence)}
    assert len(sizes) == 1
    assert (color.encoding, depth.encoding, confidence.encoding) == ('rgb8', '32FC1', '32FC1')
    assert pixels(confidence).min() >= 1
    cells = point_cloud2.read_points(client.received['points'][0])
    rgb = colors(cells).reshape(depth.height, depth.width, 3)
    assert np.array_equal(rgb, pixels(color))


def test_camera_infos_describe_the_images(client):
    for kind in ('depth', 'color'):
        info, picture = (
            client.received[f'{kind}/camera_info'][0],
            client.received[f'{kind}/image'][0],
        )
        assert (info.width, info.height) == (picture.width, picture.height)
        assert info.k[0] > 0
        assert info.p.reshape(3, 4)[:, :3].ravel().tolist() == info.k.tolist()
    estimate = client.received['estimated_camera_info'][0]
    assert (estimate.width, estimate.height) == (WIDTH, HEIGHT)
    assert estimate.k[2] == pytest.approx((WIDTH - 1) / 2, abs=1)


def test_transforms_compose_to_the_odometry(client):
    assert len(client.received['odometry']) == COUNT
    for odometry in client.received['odometry']:
        at = _time(seconds(odometry.header.stamp))
        found = transform_from_message(client.buffer.lookup_transform('odom', 'optical', at))
        assert np.allclose(found, pose(odometry), atol=1e-9)
        in_map = transform_from_message(client.buffer.lookup_transform('map', 'optical', at))
        assert np.allclose(in_map, found, atol=1e-9)
        assert odometry.child_frame_id == 'optical'


def test_the_first_camera_stands_level_at_the_origin_of_a_z_up_frame(client):
    assert np.allclose(pose(client.received['odometry'][0]), level_camera(0.0), atol=1e-6)


def test_odometry_has_covariance_and_velocity(client):
    for odometry in client.received['odometry']:
        covariance = np.array(odometry.pose.covariance).reshape(6, 6)
        assert np.allclose(covariance, covariance.T)
        assert (np.diag(covariance) > 0).all()
    # Without a robot and without PnP: the deviation of the rotation is 0.1 / mean confidence.
    confidence = pixels(client.received['confidence/image'][0]).mean()
    first = np.array(client.received['odometry'][0].pose.covariance).reshape(6, 6)
    assert np.allclose(first[3:, 3:], np.eye(3) * (0.1 / confidence) ** 2, rtol=1e-4)
    depth = np.median(pixels(client.received['depth/image'][0]))
    assert np.allclose(first[:3, :3], np.eye(3) * (0.1 * depth / confidence) ** 2, rtol=1e-4)
    before, after = client.received['odometry'][1:3]
    motion = inverse(pose(before)) @ pose(after)
    turn = Rotation.from_matrix(motion[:3, :3]).as_rotvec()
    halfway = Rotation.from_rotvec(-turn / 2).apply(motion[:3, 3])
    twist = after.twist.twist
    velocity = [getattr(part, axis) for part in (twist.linear, twist.angular) for axis in 'xyz']
    assert np.allclose(velocity, np.concatenate([halfway, turn]) / 0.1, atol=1e-6)
    assert (np.diag(np.array(after.twist.covariance).reshape(6, 6)) > 0).all()


def test_path_is_the_odometry_so_far_and_bounded(client):
    path = client.received['path'][-1]
    assert len(path.poses) == 4
    assert path.poses[-1].pose == client.received['odometry'][-1].pose.pose
    assert [len(p.poses) for p in client.received['path']] == [1, 2, 3, 4, 4, 4]


def test_map_holds_the_points_of_the_frames(client):
    """One point for each voxel that a frame has points in: their mean, weighted by confidence."""
    inputs = [client.received[name][:COUNT] for name in ('points', 'odometry')]
    places, values, weights = [], [], []
    for points, odometry in zip(*inputs, strict=True):
        cells = point_cloud2.read_points(points)
        cells = cells[np.isfinite(cells['z'])]
        camera = np.stack([cells['x'], cells['y'], cells['z']], axis=-1)
        T_map_camera = pose(odometry)  # map and odom are one here
        places.append(camera @ T_map_camera[:3, :3].T + T_map_camera[:3, 3])
        values.append(colors(cells))
        weights.append(cells['confidence'])
    place, value, weight = map(np.concatenate, (places, values, weights))
    voxels, owner = np.unique(np.floor(place / VOXEL), axis=0, return_inverse=True)
    owner = owner.ravel()
    wanted = np.zeros((len(voxels), 6))
    np.add.at(wanted, owner, np.hstack([place, value]) * weight[:, None])
    wanted /= np.bincount(owner, weight)[:, None]

    cells = point_cloud2.read_points(client.wait_for_stamp('map_points', STAMPS[-1]))
    assert {'x', 'y', 'z', 'rgb'} == set(cells.dtype.names)
    found = np.hstack([np.stack([cells['x'], cells['y'], cells['z']], axis=-1), colors(cells)])
    assert len(found) == pytest.approx(len(wanted), rel=0.01)  # some points lie on an edge
    # Of each, what is nearest in place and colour: metres, and levels of a thousandth.
    scale = [1, 1, 1, 1e-3, 1e-3, 1e-3]
    distance, _ = cKDTree(found * scale).query(wanted * scale)
    assert np.quantile(distance, 0.98) < 3e-3


def test_map_is_bounded_in_size_and_rate_and_points_are_dense_by_default(system):
    system.start(input_queue=50, max_map_points=1000, voxel_size=0.001, map_rate=0.5)
    client = system.client
    client.listen('odometry', 'points', 'map_points')
    began = time.monotonic()
    client.send(*[image(index, 10.0 + index) for index in range(40)])
    client.wait_for_stamp('odometry', 49.0)
    map_points = client.wait_for_stamp('map_points', 49.0)
    assert len(client.received['map_points']) <= (time.monotonic() - began) * 0.5 + 2
    assert 0 < map_points.width <= 1000
    cloud = client.wait_for_stamp('points', 49.0)
    assert (cloud.height, cloud.is_dense) == (1, True)
    cells = point_cloud2.read_points(cloud)
    assert len(cells) > 1000
    assert set(cells.dtype.names) == {'x', 'y', 'z', 'rgb', 'confidence'}
    assert np.isfinite(cells['z']).all()


def test_best_effort_subscribers_get_outputs_too(system):
    """Also where there are no others."""
    system.start(input_queue=20, map_rate=10.0)
    client = system.client
    client.listen(*TOPICS, reliable=False)
    stamps = count(10)

    def heard() -> bool:
        client.send(image(0, float(next(stamps))))
        time.sleep(0.1)
        return all(client.received[name] for name in TOPICS)

    client.until(heard, 'a message on each topic')
