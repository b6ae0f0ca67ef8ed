"""Views that nobody knows and states that explode: said, counted, and no pose for them."""

from collections.abc import Iterator
from contextlib import contextmanager
import subprocess
import sys

import cv2
from faults import environment
from harness import seconds, stamp
import numpy as np
import pytest
from rclpy.time import Time
from std_msgs.msg import Header

from ttt3r_ros.node.conversions import image_message
from ttt3r_ros.synthetic.sequence import render_sequence

ERROR, OK = b'\2', b'\0'
KNOWN = 15  # images before the view is lost
LOST = 10


@pytest.fixture(scope='module')
def images() -> list[np.ndarray]:
    return list(render_sequence(2**40 + 11, KNOWN + 5, 320, 240).rgb)


def send(client, pixels: np.ndarray, at: float):
    """Send an image and return its odometry."""
    header = Header(stamp=stamp(at), frame_id='optical')
    client.send(image_message(pixels, 'rgb8', header))
    return client.wait_for_stamp('odometry', at)


def strange(kind: str, index: int, like: np.ndarray) -> np.ndarray:
    if kind == 'noise':
        return np.random.default_rng(index).integers(0, 255, like.shape, np.uint8)
    return np.full_like(like, {'grey': 120, 'black': 0, 'white': 255}[kind])


def variance(odometry) -> float:
    return odometry.pose.covariance[0]


def position(odometry) -> np.ndarray:
    at = odometry.pose.pose.position
    return np.array([at.x, at.y, at.z])


def newest_transform(buffer) -> float:
    return seconds(buffer.lookup_transform('odom', 'optical', Time()).header.stamp)


@pytest.mark.parametrize('kind', ['grey', 'black', 'white', 'noise'])
def test_a_view_that_is_not_known_gets_no_pose_and_the_next_is_tracked(system, images, kind):
    process = system.start(input_queue=50, weights='', pose_source='pnp', image_timeout=60.0)
    client = system.client
    client.listen('odometry', 'map_points', 'points', 'depth/image')
    client.listen_to_diagnostics()
    buffer = client.listen_to_tf()
    for index, pixels in enumerate(images[:KNOWN]):
        sure = send(client, pixels, 100.0 + index)
    assert variance(sure) < 1
    assert client.wait_for_stamp('points', 100.0 + KNOWN - 1).width > 1000
    seen = [send(client, strange(kind, i, images[0]), 200.0 + i) for i in range(LOST)]
    client.until(lambda: client.count('lost') == LOST, 'the count')
    assert client.status(': reconstruction').level == ERROR
    assert client.status(': reconstruction').message.startswith('lost')
    assert min(map(variance, seen)) > 1e5, 'odometry says that it knows nothing'
    assert {tuple(position(odometry)) for odometry in seen} == {tuple(position(sure))}
    assert newest_transform(buffer) == 100.0 + KNOWN - 1
    for index in range(LOST):
        assert client.wait_for_stamp('points', 200.0 + index).width == 0
        depth = client.wait_for_stamp('depth/image', 200.0 + index)
        assert np.isnan(np.frombuffer(depth.data, np.float32)).all()
    last = send(client, images[KNOWN], 300.0)
    assert variance(last) < 1
    assert np.linalg.norm(position(last) - position(sure)) < 0.2
    client.until(lambda: client.status(': reconstruction').level == OK, 'the end of the error')
    assert client.value(': reconstruction', 'tracking') == 'tracked'
    assert client.count('lost') == LOST
    assert process.status is None


def test_a_camera_that_starts_in_the_dark_begins_with_the_first_view(system, images):
    system.start(input_queue=50, weights='', pose_source='pnp', map_rate=30.0)
    client = system.client
    client.listen('odometry', 'map_points')
    client.listen_to_diagnostics()
    buffer = client.listen_to_tf()
    dark = [send(client, strange('black', i, images[0]), 100.0 + i) for i in range(3)]
    client.until(lambda: client.count('lost') == 3, 'the count')
    assert min(map(variance, dark)) > 1e5, 'odometry says that it knows nothing'
    assert not buffer.can_transform('odom', 'optical', Time())
    first = send(client, images[0], 200.0)
    assert variance(first) < 1
    np.testing.assert_allclose(position(first), 0.0, atol=1e-6)
    assert variance(send(client, images[1], 201.0)) < 1
    client.wait_for_stamp('map_points', 201.0)
    assert not [at for at in client.stamps('map_points') if 0.0 < at < 200.0]
    assert newest_transform(buffer) == 201.0
    assert client.count('lost') == 3


def test_a_blurred_image_gets_a_pose_but_stays_out_of_the_map(system, images):
    system.start(input_queue=50, weights='', pose_source='pnp', map_rate=30.0)
    client = system.client
    client.listen('odometry', 'map_points')
    client.listen_to_diagnostics()
    buffer = client.listen_to_tf()
    for index, pixels in enumerate(images[:KNOWN]):
        send(client, pixels, 100.0 + index)
    last = 100.0 + KNOWN - 1
    client.wait_for_stamp('map_points', last)
    for index in range(4):
        odometry = send(client, cv2.GaussianBlur(images[KNOWN], (0, 0), 12), 200.0 + index)
        assert variance(odometry) < 1
    assert newest_transform(buffer) == 203.0
    send(client, images[KNOWN], 300.0)
    client.wait_for_stamp('map_points', 300.0)
    assert not [at for at in client.stamps('map_points') if last < at < 300.0]
    assert client.count('lost') == 0


SPOILT = """
from ttt3r_ros.node import main
from ttt3r_ros.reconstructor import Reconstructor
decode, calls = Reconstructor._decode, []
def spoil(self, *arguments, **options):
    prediction = decode(self, *arguments, **options)
    calls.append(1)
    if len(calls) == {after}:
        self._state = self._state._replace(tokens=self._state.tokens * float('{factor}'))
    return prediction
Reconstructor._decode = spoil
main.main(['--ros-args', '-p', 'input_queue:=50', '-p', 'image_timeout:=60.0',
           '-p', 'pose_source:={source}'])
"""


@contextmanager
def exploding(domain: int, code: str) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen([sys.executable, '-c', code], env=environment(domain))
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


@pytest.mark.parametrize('source', ['network', 'pnp'])
@pytest.mark.parametrize('factor', ['nan', '1e6'])
def test_a_state_that_explodes_costs_one_image_and_is_told(system, images, factor, source):
    """The state that the fifth image leaves is spoilt; the sixth shows it."""
    code = SPOILT.format(after=5, factor=factor, source=source)
    client = system.client
    with exploding(system.domain, code) as process:
        client.listen('odometry')
        client.listen_to_diagnostics()
        buffer = client.listen_to_tf()
        for index in range(5):
            before = send(client, images[index], 100.0 + index)
        header = Header(stamp=stamp(105.0), frame_id='optical')
        client.send(image_message(images[5], 'rgb8', header))
        client.until(lambda: client.count('failed') == 1, 'the count')
        assert client.status(': reconstruction').level == ERROR
        assert 'not finite' in client.status(': reconstruction').message
        assert 105.0 not in client.stamps('odometry')
        assert newest_transform(buffer) == 104.0
        for index in range(6, 10):
            after = send(client, images[index], 100.0 + index)
        assert np.linalg.norm(position(after) - position(before)) < 0.3
        client.until(lambda: client.status(': reconstruction').level == OK, 'the end of it')
        assert client.count('failed') == 1
        process.terminate()
        assert process.wait(10) == 0
