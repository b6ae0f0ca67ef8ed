"""Cameras that vanish, publishers that die, images that nobody should send."""

import signal
import time

import cv2
from faults import Participant, stranger, stream, tracks_again, usage
from harness import HEIGHT, WIDTH, compressed_image, image, stamp
import numpy as np
import pytest
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from ttt3r_ros.node.conversions import fill_bytes

FLOOD = """
from harness import image
from sensor_msgs.msg import Image
publisher = node.create_publisher(Image, 'image', QoSProfile(depth=100))
while not publisher.get_subscription_count():
    time.sleep(0.02)
print('flood', flush=True)
index = 0
while True:
    publisher.publish(image(index, {begin} + 0.001 * index, height=960, width=1280))
    index += 1
"""


def counted(client, event: str) -> int:
    return int(client.value(': input', f'images {event}') or 0)


def test_a_camera_that_is_unplugged_and_comes_back(system):
    """Images are reliable: best effort may lose those that come before the node knows a camera."""
    system.start(image_timeout=1.0, input_queue=50, image_qos='reliable')
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    camera = Participant(system.domain, 'camera')
    publisher = camera.node.create_publisher(Image, 'image', QoSProfile(depth=10))
    client.until(publisher.get_subscription_count, 'the node')
    for index in range(3):
        publisher.publish(image(index, 10.0 + index))
    client.wait_for_stamp('odometry', 12.0)
    camera.close()
    client.until(lambda: client.status(': input').level == b'\1', 'the warning')
    assert 'no image on /image' in client.status(': input').message

    camera = Participant(system.domain, 'camera')
    publisher = camera.node.create_publisher(Image, 'image', QoSProfile(depth=10))
    client.until(publisher.get_subscription_count, 'the node')
    publisher.publish(image(3, 20.0))
    client.wait_for_stamp('odometry', 20.0)
    client.until(lambda: client.status(': input').level == b'\0', 'the end of the warning')
    client.until(
        lambda: client.value(': reconstruction', 'frames in this epoch') == '4',
        'that the trajectory goes on',
    )
    camera.close()


def test_publishers_that_are_killed_in_the_midst_of_a_message(system):
    process = system.start()
    client = system.client
    client.listen('odometry')
    pid, settled = process.pid, None
    for number in range(4):
        begin = 100.0 * (number + 1)
        with stranger(system.domain, FLOOD.format(begin=begin)) as camera:
            client.until(
                lambda b=begin: any(at >= b for at in client.stamps('odometry')), 'its odometry'
            )
            camera.send_signal(signal.SIGKILL)
            camera.wait(10)
        assert process.status is None
        time.sleep(1.0)
        settled = settled or usage(pid)
    tracks_again(client, 1000.0)
    client.until(lambda: usage(pid)[1] <= settled[1] + 1, 'the end of threads')
    # what was freed goes back to the system every 10 s
    client.until(lambda: usage(pid)[0] < settled[0] + 100, 'the end of what killed cameras left')


def raw(at: float, encoding: str, height: int, width: int, step: int, data: np.ndarray) -> Image:
    msg = Image(height=height, width=width, encoding=encoding, step=step)
    msg.header.stamp, msg.header.frame_id = stamp(at), 'optical'
    fill_bytes(msg.data, data)
    return msg


def bad_images() -> list[Image]:
    pixels = np.full(HEIGHT * WIDTH * 3, 100, np.uint8)
    nan = np.full(HEIGHT * WIDTH, np.nan, np.float32).view(np.uint8)
    shapes = {
        'nan': ('32FC1', HEIGHT, WIDTH, 4 * WIDTH, nan),
        'strip': ('rgb8', 1, 10000, 30000, np.full(30000, 9, np.uint8)),
        'column': ('rgb8', 10000, 1, 3, np.full(30000, 9, np.uint8)),
        'one pixel': ('rgb8', 1, 1, 3, np.full(3, 9, np.uint8)),
        'truncated': ('rgb8', HEIGHT, WIDTH, 3 * WIDTH, pixels[:-1]),
        'short step': ('rgb8', HEIGHT, WIDTH, WIDTH, pixels),
        'no step, truncated': ('rgb8', HEIGHT, WIDTH, 0, pixels[:-1]),
        'huge step': ('rgb8', HEIGHT, WIDTH, 2**32 - 1, pixels),
        'huge size': ('rgb8', 2**32 - 1, 2**32 - 1, 2**32 - 1, pixels),
        'wrong encoding': ('RGB8', HEIGHT, WIDTH, 3 * WIDTH, pixels),
        'many channels': ('8UC2147483647', HEIGHT, WIDTH, 3 * WIDTH, pixels),
    }
    return [raw(10.0 + index, *shape) for index, shape in enumerate(shapes.values())]


def test_images_that_nobody_should_send_are_counted_and_cost_nothing(system):
    process = system.start(input_queue=50)
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    bad = bad_images()
    client.send(*bad)
    client.until(lambda: counted(client, 'bad') == len(bad), 'the count of bad images')
    plain = [
        raw(100.0 + i, 'rgb8', size, size, 3 * size, np.full(3 * size * size, value, np.uint8))
        for i, (size, value) in enumerate([(8, 9), (128, 0), (128, 255)])
    ]
    client.send(*plain, image(0, 200.0))
    client.wait_for_stamp('odometry', 200.0)
    assert counted(client, 'bad') == len(bad)
    assert client.stamps('odometry') == [100.0, 101.0, 102.0, 200.0]
    assert process.status is None


def test_a_compressed_image_of_a_billion_pixels_is_refused_by_its_header(system):
    process = system.start(image_transport='compressed', input_queue=50)
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    client.send(compressed_image(0, 5.0), topic='image/compressed')
    client.wait_for_stamp('odometry', 5.0)
    before = usage(process.pid)[0]
    jpeg = bytearray(cv2.imencode('.jpg', np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    frame = jpeg.index(b'\xff\xc0')
    jpeg[frame + 5 : frame + 9] = (30000).to_bytes(2, 'big') * 2
    bomb = CompressedImage(format='jpeg', header=image(0, 6.0).header)
    fill_bytes(bomb.data, np.frombuffer(bytes(jpeg), np.uint8))
    client.send(bomb, compressed_image(1, 7.0), topic='image/compressed')
    client.wait_for_stamp('odometry', 7.0)
    client.until(lambda: counted(client, 'bad') == 1, 'the count')
    assert '900000000 pixels' in process.said() or 'too large' in process.said()
    peak = int(float(client.value(': reconstruction', 'peak memory [MB]')))
    assert peak < before + 500


@pytest.mark.parametrize('first', [2**31 - 2.0, -5.0])
def test_stamps_at_the_ends_of_time(system, first):
    """Either the image is worked on, or it is counted; the next sensible one is worked on."""
    process = system.start(input_queue=50)
    client = system.client
    client.listen('odometry')
    odd = image(0, 1.0)
    odd.header.stamp.sec, odd.header.stamp.nanosec = int(first), 2**32 - 1
    client.send(odd, *[image(index, 50.0 + index) for index in range(3)])
    client.wait_for_stamp('odometry', 52.0)
    assert process.status is None


def test_images_go_on_after_the_stamps_jump_a_year_ahead(system):
    process = system.start(input_queue=50)
    client = system.client
    client.listen('odometry')
    year = 365 * 86400.0
    stamps = stream(client, 10.0, 3) + stream(client, 10.0 + year, 3) + stream(client, 10.0, 3)
    client.until(lambda: len(client.stamps('odometry')) == len(stamps), 'all odometry')
    assert client.stamps('odometry') == stamps
    assert process.said().count('poses start from identity again') == 1, 'the jump back'
