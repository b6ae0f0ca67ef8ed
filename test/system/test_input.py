"""What comes in: kinds of topics, bad data, order, queues, silence."""

import time

from harness import HEIGHT, WIDTH, compressed_image, image, running_system
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from ttt3r_ros.geometry.camera import Intrinsics
from ttt3r_ros.node.conversions import camera_info_message


@pytest.fixture(scope='module')
def shared_node(tmp_path_factory, weights):
    with running_system(tmp_path_factory.mktemp('input'), weights) as system:
        system.start(input_queue=30, image_timeout=1.0)
        system.client.listen('odometry', 'estimated_camera_info', 'depth/image')
        system.client.listen_to_diagnostics()
        yield system


@pytest.fixture
def begin(request):
    """Return a time that is later than that of all tests before."""
    tests = [item.name for item in request.session.items if 'shared_node' in item.fixturenames]
    return 1000.0 * (1 + tests.index(request.node.name))


def test_no_image_is_a_warning_that_names_the_topic_and_ends_with_the_next_image(
    shared_node, begin
):
    client = shared_node.client
    client.until(lambda: client.status(': input').level == b'\1', 'the warning')
    assert 'no image on /image' in client.status(': input').message
    client.send(image(0, begin))
    client.wait_for_stamp('odometry', begin)
    client.until(lambda: client.status(': input').level == b'\0', 'its end')
    client.until(lambda: client.status(': input').level == b'\1', 'another warning')


def test_bad_images_are_skipped_and_counted(shared_node, begin):
    client = shared_node.client
    before = int(client.value(': input', 'images bad'))
    unknown, short, empty, unnamed = (image(index, begin + index) for index in range(4))
    unknown.encoding = 'psychedelic'
    short.data = short.data[:100]
    empty.height = empty.width = 0
    unnamed.header.frame_id = ''
    client.send(unknown, short, empty, unnamed, image(4, begin + 4))
    client.wait_for_stamp('odometry', begin + 4)
    assert not {begin, begin + 1, begin + 2, begin + 3} & set(client.stamps('odometry'))
    client.until(lambda: int(client.value(': input', 'images bad')) == before + 4, 'the count')
    assert 'image skipped' in shared_node.processes[0].said()


def test_a_size_that_changes_mid_stream(shared_node, begin):
    client = shared_node.client
    sizes = [(HEIGHT, WIDTH), (120, 200), (200, 120), (HEIGHT, WIDTH)]
    for index, (height, width) in enumerate(sizes):
        at = begin + index
        client.send(image(index, at, height=height, width=width))
        info = client.wait_for_stamp('estimated_camera_info', at)
        assert (info.height, info.width) == (height, width)
        depth = client.wait_for_stamp('depth/image', at)
        assert (depth.height < depth.width) == (height < width)


def test_duplicates_and_small_steps_back_are_dropped_and_counted(shared_node, begin):
    client = shared_node.client
    before = int(client.value(': input', 'images out of order') or 0)
    for at in (begin, begin + 0.2, begin + 0.2, begin + 0.1, begin + 0.3):
        client.send(image(0, at))
    client.wait_for_stamp('odometry', begin + 0.3)
    came = [at for at in client.stamps('odometry') if at >= begin]
    assert came == pytest.approx([begin, begin + 0.2, begin + 0.3])
    client.until(
        lambda: int(client.value(': input', 'images out of order') or 0) == before + 2, 'the count'
    )


def test_camera_info_of_another_camera_is_a_warning(shared_node, begin):
    client = shared_node.client
    client.send(image(0, begin))
    estimate = client.wait_for_stamp('estimated_camera_info', begin)
    wrong = Intrinsics.centred(WIDTH, HEIGHT, 3 * estimate.k[0])
    info = camera_info_message(wrong, image(0, begin).header)
    client.send(info, topic='camera_info')
    time.sleep(0.5)
    client.send(image(1, begin + 1))
    client.wait_for_stamp('odometry', begin + 1)
    client.until(
        lambda: 'does not fit that of camera_info' in client.status(': reconstruction').message,
        'the warning',
    )
    assert client.status(': reconstruction').level == b'\1'


def test_stamps_that_jump_back_begin_one_new_epoch(shared_node, begin):
    client = shared_node.client
    for _ in range(2):
        for index in range(3):
            client.send(image(index, begin + index))
    client.until(lambda: client.stamps('odometry').count(begin + 2) == 2, 'the second round')
    came = [at for at in client.stamps('odometry') if at >= begin]
    assert came == [begin, begin + 1, begin + 2] * 2
    said = shared_node.processes[0].said()
    assert said.count('jumped back') == 1


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
    client.send(compressed_image(0, 5.0), topic='/front/picture/compressed')
    client.wait_for_stamp('odometry', 5.0)
    color = client.wait_for_stamp('color/image', 5.0)
    assert np.frombuffer(color.data, np.uint8).std() > 10


def test_the_newest_image_wins_and_the_others_are_counted(system):
    system.start()
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    client.publisher('image', Image)
    for index in range(60):
        client.send(image(index, 10.0 + index))
        time.sleep(0.005)
    client.wait_for_stamp('odometry', 69.0)
    came = len(client.received['odometry'])
    assert came < 60

    def counted() -> bool:
        dropped = int(client.value(': input', 'images dropped') or 0)
        received = int(client.value(': input', 'images received') or 0)
        return dropped > 0 and received - dropped == came

    client.until(counted, 'the count of dropped images')
    assert client.status(': input').level in (b'\0', b'\1')


def test_a_queue_drops_nothing_until_it_is_full_which_is_an_error(system):
    system.start(input_queue=25)
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    client.send(*[image(index, 10.0 + index) for index in range(20)])
    client.wait_for_stamp('odometry', 29.0)
    assert client.stamps('odometry') == [10.0 + index for index in range(20)]
    levels = []
    for index in range(150):
        client.send(image(index, 100.0 + index))
        levels.append(client.status(': input').level)

    def told() -> bool:
        levels.append(client.status(': input').level)
        return b'\2' in levels

    client.until(told, 'the error')
