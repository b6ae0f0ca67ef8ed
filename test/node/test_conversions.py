from builtin_interfaces.msg import Time
import numpy as np
import pytest
from sensor_msgs.msg import Image
from sensor_msgs_py import point_cloud2
from std_msgs.msg import Header

from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.geometry.se3 import from_translation_quat
from ttt3r_ros.node import conversions
from ttt3r_ros.node.clouds import cloud_message
from ttt3r_ros.node.decoding import choose_decoder, to_rgb

HEADER = Header(stamp=Time(sec=12, nanosec=34), frame_id='camera')


def test_colour_image_survives_the_round_trip():
    rgb = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    msg = conversions.image_message(rgb, 'rgb8', HEADER)
    assert msg.header == HEADER
    assert np.array_equal(to_rgb(msg, choose_decoder()[1]), rgb)


def test_depth_image_holds_metres_and_nan():
    depth = np.array([[1.5, np.nan, 3.0], [0.25, 2.0, 9.0]], np.float32)
    msg = conversions.image_message(depth, '32FC1', HEADER)
    read = np.frombuffer(msg.data, np.float32).reshape(msg.height, msg.step // 4)
    assert (msg.width, msg.height, msg.encoding, msg.is_bigendian) == (3, 2, '32FC1', 0)
    assert np.array_equal(read, depth, equal_nan=True)


def test_bytes_are_filled_in_place():
    msg = Image()
    data = msg.data
    conversions.fill_bytes(msg.data, np.arange(6, dtype=np.uint16)[::2])
    conversions.fill_bytes(msg.data, np.empty((0, 3), np.float32))
    assert msg.data is data
    assert data.tobytes() == np.array([0, 2, 4], np.uint16).tobytes()


def test_camera_info_has_k_r_p_and_no_distortion():
    info = conversions.camera_info_message(Intrinsics(64, 48, 50, 51, 31, 23), HEADER)
    assert info.k.tolist() == [50, 0, 31, 0, 51, 23, 0, 0, 1]
    assert info.p.tolist() == [50, 0, 31, 0, 0, 51, 23, 0, 0, 0, 1, 0]
    assert info.r.tolist() == np.eye(3).ravel().tolist()
    assert (info.width, info.height, list(info.d)) == (64, 48, [0.0] * 5)


def test_transform_survives_the_round_trip():
    transform = from_translation_quat([1, 2, 3], [0.5, -0.5, 0.1, 0.7])
    msg = conversions.transform_message(transform, HEADER.stamp, 'map', 'camera')
    assert (msg.header.frame_id, msg.child_frame_id) == ('map', 'camera')
    assert np.allclose(conversions.transform_from_message(msg), transform)


def test_stamps_survive_the_round_trip():
    stamp = Time(sec=1_700_000_000, nanosec=123_456_789)
    assert conversions.stamp_from_nanoseconds(conversions.nanoseconds(stamp)) == stamp


@pytest.mark.parametrize('shape', [(6,), (2, 3)])
def test_cloud_is_read_by_the_standard_reader(shape):
    rng = np.random.default_rng(1)
    points = rng.normal(size=(*shape, 3)).astype(np.float32)
    colors = rng.integers(0, 255, (*shape, 3), dtype=np.uint8)
    confidence = rng.uniform(1, 9, shape).astype(np.float32)
    msg = cloud_message(points, colors, HEADER, confidence)
    assert (msg.height, msg.width) == ((1, 6) if len(shape) == 1 else shape)
    assert msg.is_dense
    cells = point_cloud2.read_points(msg)
    read = np.stack([cells['x'], cells['y'], cells['z']], -1).reshape(points.shape)
    packed = np.ascontiguousarray(cells['rgb']).view(np.uint32).reshape(shape)
    assert np.array_equal(read, points)
    assert np.array_equal(cells['confidence'].reshape(shape), confidence)
    assert np.array_equal(packed >> 16, colors[..., 0])
    assert np.array_equal(packed >> 8 & 255, colors[..., 1])
    assert np.array_equal(packed & 255, colors[..., 2])


def test_cloud_with_gaps_is_not_dense():
    points = np.zeros((2, 2, 3), np.float32)
    points[0, 1] = np.nan
    assert not cloud_message(points, np.zeros((2, 2, 3), np.uint8), HEADER).is_dense


def test_empty_cloud():
    msg = cloud_message(np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8), HEADER)
    assert (msg.width, len(msg.data)) == (0, 0)
