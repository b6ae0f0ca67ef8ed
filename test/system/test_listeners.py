"""Who listens, and how: lazy outputs, qualities of service, listeners that hang."""

from itertools import count
import signal

from harness import image
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from ttt3r_ros.node.outputs import TOPICS

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT


def test_nothing_is_computed_for_nobody(system):
    system.start(input_queue=20, map_rate=20.0)
    client = system.client
    client.listen_to_diagnostics()

    def sent(topic: str) -> int:
        return int(client.value(': output', f'messages on {topic}'))

    def feed(images) -> None:
        target = client.count('processed') + len(images)
        client.send(*images)
        client.until(lambda: client.count('processed') == target, 'the images to be processed')

    feed([image(index, 10.0 + index) for index in range(3)])
    assert {topic: sent(topic) for topic in TOPICS} == dict.fromkeys(TOPICS, 0)

    client.listen('depth/image')
    heard = client.received['depth/image']
    stamps = count(100)

    def depth_came() -> bool:  # from when on the node knows of its listener is not ours to say
        feed([image(0, float(next(stamps)))])
        return bool(heard)

    client.until(depth_came, 'depth')
    client.until(lambda: sent('depth/image') >= len(heard), 'the count')
    assert {topic for topic in TOPICS if sent(topic)} == {'depth/image'}

    client.stop_listening('depth/image')
    client.until(lambda: not client.node.count_subscribers('depth/image'), 'the end')
    stamps = count(200)

    def nothing_more() -> bool:
        before = sent('depth/image')
        feed([image(index, float(next(stamps))) for index in range(3)])
        return sent('depth/image') == before

    client.until(nothing_more, 'the end of depth')


def test_publishers_are_reliable_and_the_map_is_latched_and_this_can_be_overridden(system):
    system.start(**{'qos_overrides./points.publisher.reliability': 'best_effort'})
    client = system.client
    client.until(lambda: all(map(client.node.count_publishers, TOPICS)), 'all publishers')
    qos = {
        topic: client.node.get_publishers_info_by_topic(f'/{topic}')[0].qos_profile
        for topic in TOPICS
    }
    assert {topic for topic in TOPICS if qos[topic].reliability != RELIABLE} == {'points'}
    latched = DurabilityPolicy.TRANSIENT_LOCAL
    assert {topic for topic in TOPICS if qos[topic].durability == latched} == {'map_points'}


@pytest.mark.parametrize(
    ('parameters', 'reliability'),
    [({}, BEST_EFFORT), ({'image_qos': 'reliable'}, RELIABLE), ({'input_queue': 5}, RELIABLE)],
    ids=['default', 'image_qos', 'input_queue'],
)
def test_images_and_camera_info_are_subscribed_to_as_the_settings_say(
    system, parameters, reliability
):
    system.start(image_timeout=0.5, **parameters)
    client = system.client
    client.listen_to_diagnostics()
    client.listen('odometry')
    for topic in ('/image', '/camera_info'):
        client.until(lambda name=topic: client.node.count_subscribers(name), topic)
        (found,) = client.node.get_subscriptions_info_by_topic(topic)
        assert found.qos_profile.reliability == reliability

    def told(text: str) -> bool:
        status = client.status(': input')
        return status.level == b'\1' and text in status.message

    client.until(lambda: told('nobody publishes it'), 'the reason')
    qos = QoSProfile(depth=5, reliability=BEST_EFFORT)
    publisher = client.node.create_publisher(Image, 'image', qos)
    if 'image_qos' in parameters:
        client.until(lambda: told('it is published best effort'), 'the reason')
        assert client.count('received') == 0
    else:
        stamps = count(10)

        def heard() -> bool:
            publisher.publish(image(0, float(next(stamps))))
            return bool(client.received['odometry'])

        client.until(heard, 'odometry of a best-effort image')
    images, infos = (
        client.node.get_subscriptions_info_by_topic(topic)[0].qos_profile.reliability
        for topic in ('/image', '/camera_info')
    )
    # a queue is content with what there is, topic by topic
    assert images == (RELIABLE if 'image_qos' in parameters else BEST_EFFORT)
    assert infos == reliability


def test_a_listener_that_hangs_holds_up_nothing(system, tmp_path):
    system.start(input_queue=100)
    client = system.client
    client.listen('odometry')
    recorder = system.run('topic_recorder', bag=str(tmp_path / 'bag'))
    recorder.says('ready')
    recorder.send(signal.SIGSTOP)
    try:
        client.send(*[image(index, 10.0 + index) for index in range(60)])
        client.wait_for_stamp('odometry', 69.0)
        assert client.stamps('odometry') == [10.0 + index for index in range(60)]
    finally:
        recorder.send(signal.SIGCONT)


def test_who_comes_late_gets_the_map_without_a_new_image(system):
    system.start(input_queue=20, map_rate=10.0)
    client = system.client
    client.listen('map_points')
    client.send(image(0, 10.0))
    client.wait_for_stamp('map_points', 10.0)
    late: list[object] = []
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    client.node.create_subscription(TOPICS['map_points'], 'map_points', late.append, qos)
    client.until(lambda: late, 'the latched map')
    assert late[0].width > 0
