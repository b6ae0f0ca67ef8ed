"""What comes in: kinds of topics and images, bad data, order, queues, silence."""

from itertools import count
import time

import cv2
from harness import HEIGHT, WIDTH, compressed_image, image, picture
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from ttt3r_ros.model.config import PRESETS
from ttt3r_ros.node.conversions import fill_bytes
from ttt3r_ros.preprocess import fit_image


def rgb_of(message: Image) -> np.ndarray:
    assert message.encoding == 'rgb8'
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)


@pytest.fixture(scope='module')
def node(shared_system):
    process = shared_system.start(input_queue=30, image_timeout=1.0)
    shared_system.client.listen('odometry', 'estimated_camera_info', 'depth/image', 'color/image')
    shared_system.client.listen_to_diagnostics()
    return process


@pytest.fixture
def client(node, anew):  # noqa: ARG001
    return anew


def test_no_image_is_a_warning_that_names_the_topic_and_ends_with_the_next_image(client):
    client.until(lambda: client.status(': input').level == b'\1', 'the warning')
    assert 'no image on /image' in client.status(': input').message
    client.send_until(
        lambda: client.status(': input').level == b'\0',
        (image(index, 1000.0 + index) for index in count()),
        'its end',
    )
    client.until(lambda: client.status(': input').level == b'\1', 'another warning')


def test_a_camera_that_stops_for_ten_seconds_and_comes_back_is_the_same_camera(client, node):
    for index in range(5):
        client.send(image(index, 2000.0 + index / 10))
    client.wait_for_stamp('odometry', 2000.4)
    epoch, said = client.value(': reconstruction', 'epoch'), node.said()
    time.sleep(10)
    assert client.status(': input').level == b'\1'
    assert float(client.value(': input', 'seconds since the last image')) > 8
    client.send_until(
        lambda: client.status(': input').level == b'\0',
        (image(index, 2010.0 + index / 10) for index in count(5)),
        'the end of the warning',
    )
    assert client.value(': reconstruction', 'epoch') == epoch
    assert int(client.value(': reconstruction', 'frames in this epoch')) > 5
    assert node.said() == said


def test_bad_images_are_skipped_and_counted_and_warned_of_now_and_then(client, node):
    before, said = client.count('bad'), node.said().count('image skipped')
    unknown, short, empty, unnamed = (image(index, 3000.0 + index) for index in range(4))
    unknown.encoding = 'psychedelic'
    short.data = short.data[:100]
    empty.height = empty.width = 0
    unnamed.header.frame_id = ''
    floats = Image(
        header=image(4, 3004.0).header,
        height=HEIGHT,
        width=WIDTH,
        encoding='32FC1',
        step=4 * WIDTH,
    )
    fill_bytes(floats.data, np.full((HEIGHT, WIDTH), np.nan, np.float32))
    bad = [unknown, short, empty, unnamed, floats]
    many = [image(index, 3005.0 + index) for index in range(15)]
    for message in many:
        message.encoding = ''
    client.send(*bad, *many, image(5, 3050.0))
    client.wait_for_stamp('odometry', 3050.0)
    assert client.stamps('odometry') == [3050.0]
    client.until(lambda: client.count('bad') == before + 20, 'the count')
    assert said < node.said().count('image skipped') < said + 10


def test_a_size_that_changes_mid_stream(client, node):
    sizes = [(HEIGHT, WIDTH), (120, 200), (200, 120), (HEIGHT, WIDTH)]
    epoch = client.value(': reconstruction', 'epoch')
    for index, (height, width) in enumerate(sizes):
        at = 4000.0 + index
        client.send(image(index, at, height=height, width=width))
        info = client.wait_for_stamp('estimated_camera_info', at)
        assert (info.height, info.width) == (height, width)
        depth = client.wait_for_stamp('depth/image', at)
        assert (depth.height < depth.width) == (height < width)
    assert client.stamps('odometry') == [4000.0 + index for index in range(len(sizes))]
    assert client.value(': reconstruction', 'epoch') == epoch
    assert node.status is None


@pytest.mark.parametrize(
    ('encoding', 'convert'),
    [
        ('rgb8', lambda rgb: rgb),
        ('bgr8', lambda rgb: rgb[..., ::-1]),
        ('8UC3', lambda rgb: rgb[..., ::-1]),
        ('rgba8', lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)),
        ('bgra8', lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA)),
        ('mono8', lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_encodings(client, encoding, convert):
    pixels = np.ascontiguousarray(convert(picture(7)))
    rows = np.zeros((HEIGHT, pixels[0].nbytes + 24), np.uint8)  # rows may be padded
    rows[:, : pixels[0].nbytes] = pixels.reshape(HEIGHT, -1)
    header = image(7, 4500.0).header
    message = Image(
        header=header, height=HEIGHT, width=WIDTH, encoding=encoding, step=rows.shape[1]
    )
    fill_bytes(message.data, rows)
    client.send(message)
    seen = client.wait_for_stamp('color/image', 4500.0)
    rgb = np.repeat(pixels[..., None], 3, axis=-1) if encoding == 'mono8' else picture(7)
    assert np.array_equal(rgb_of(seen), fit_image(rgb, PRESETS['small'], crop=True)[0])


def test_duplicates_and_small_steps_back_are_dropped_and_counted(client):
    before = client.count('out of order')
    for at in (5000.0, 5000.2, 5000.2, 5000.1, 5000.3):
        client.send(image(0, at))
    client.wait_for_stamp('odometry', 5000.3)
    assert client.stamps('odometry') == pytest.approx([5000.0, 5000.2, 5000.3])
    client.until(lambda: client.count('out of order') == before + 2, 'the count')


def test_stamps_that_jump_back_begin_one_new_epoch_and_a_jump_ahead_begins_none(client, node):
    before = node.said().count('jumped back')
    epoch = int(client.value(': reconstruction', 'epoch'))
    stamps = [6000.0, 6001.0, 6900.0]
    for _ in range(2):
        client.send(*[image(index, at) for index, at in enumerate(stamps)])
    client.until(lambda: client.stamps('odometry').count(6900.0) == 2, 'the second round')
    assert client.stamps('odometry') == stamps * 2
    assert node.said().count('jumped back') == before + 1
    client.until(lambda: int(client.value(': reconstruction', 'epoch')) == epoch + 1, 'the epoch')


def test_compressed_topic_derives_from_the_resolved_image_topic(system):
    system.start(
        image_transport='compressed',
        input_queue=5,
        remaps=['image:=/front/picture'],
        wait='waiting for images on /front/picture/compressed',
    )
    client = system.client
    client.listen('odometry', 'color/image')
    client.publisher('/front/picture/compressed', CompressedImage)
    broken = compressed_image(0, 4.0)
    broken.data = broken.data[:50]
    client.send(broken, compressed_image(0, 5.0), topic='/front/picture/compressed')
    client.wait_for_stamp('odometry', 5.0)
    color = client.wait_for_stamp('color/image', 5.0)
    expected = fit_image(picture(0), PRESETS['small'], crop=True)[0]
    assert np.array_equal(rgb_of(color), expected)
    assert client.stamps('odometry') == [5.0]


def test_the_newest_image_wins_and_the_others_are_counted(system):
    system.start()
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    client.publisher('image', Image)
    for index in range(60):
        client.send(image(index, 10.0 + index))
        time.sleep(0.005)
    # The subscription is best effort: what was sent may get lost on the way, but not for ever.
    stamps = count(100)

    def newest_came() -> bool:
        at = float(next(stamps))
        client.send(image(0, at))
        time.sleep(0.2)
        return at in client.stamps('odometry')

    client.until(newest_came, 'an image that is not followed by others')

    def counted() -> bool:
        received, dropped = client.count('received'), client.count('dropped')
        return 0 < dropped == received - len(client.received['odometry'])

    client.until(counted, 'the count of dropped images')
    assert client.stamps('odometry') == sorted(client.stamps('odometry'))
    assert all(
        status.level != b'\2'
        for message in client.received['diagnostics']
        for status in message.status
    )


def test_a_queue_drops_nothing_until_it_is_full_which_is_an_error(system):
    system.start(input_queue=25)
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    client.send(*[image(index, 10.0 + index) for index in range(20)])
    client.wait_for_stamp('odometry', 29.0)
    assert client.stamps('odometry') == [10.0 + index for index in range(20)]

    def told() -> bool:
        return any(
            status.level == b'\2' and 'queue is full' in status.message
            for message in list(client.received['diagnostics'])
            for status in message.status
        )

    assert not told()
    bursts = count(1)

    def flooded() -> bool:
        begin = 1000.0 * next(bursts)
        client.send(*[image(index, begin + index) for index in range(100)])
        return told()

    client.until(flooded, 'the error')
    assert client.count('overflowed') > 0
