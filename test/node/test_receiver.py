"""What differs between the distributions of ROS; all else is tested over topics (test/system)."""

import inspect
from types import SimpleNamespace

import pytest
from rclpy.clock import ROSClock
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from ttt3r_ros.io.ros_messages import rgb_image
from ttt3r_ros.node import receiver
from ttt3r_ros.node.conversions import NANOSECONDS
from ttt3r_ros.node.receiver import ImageReceiver
from ttt3r_ros.node.settings import NodeConfig
from ttt3r_ros.node.statistics import Statistics


class FakeNode:
    """Keeps the callbacks of its subscriptions."""

    def __init__(self) -> None:
        self.callbacks: list = []
        self.namespace, self.remapped = '', {}

    def resolve_topic_name(self, name: str) -> str:
        return self.remapped.get(name, f'{self.namespace}/{name}')

    def get_namespace(self) -> str:
        return self.namespace or '/'

    def create_subscription(self, _kind, topic, callback, _qos, **_):
        self.callbacks.append(callback)
        return SimpleNamespace(topic=topic)

    def get_clock(self):
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=0))


def receiver_for(node, warn=print, statistics=None, **config):
    """Return a receiver of a node's images."""
    counts = statistics or Statistics()
    return ImageReceiver(node, NodeConfig(**config), counts, rgb_image, announce=print, warn=warn)


@pytest.mark.parametrize('tells_info', [False, True])
def test_images_come_with_and_without_what_the_middleware_tells_of_them(monkeypatch, tells_info):
    monkeypatch.setattr(receiver, '_TELLS_INFO', tells_info)
    node = FakeNode()
    received = receiver_for(node)
    received.subscribe()
    on_image = node.callbacks[0]
    assert len(inspect.signature(on_image).parameters) == 1 + tells_info
    msg = Image()
    msg.header.stamp.sec = 7
    on_image(*([msg, {'publication_sequence_number': 1}] if tells_info else [msg]))
    assert received.queue.get().msg is msg


@pytest.mark.parametrize(('transport', 'other'), [('raw', 'Compressed'), ('compressed', '')])
def test_a_topic_of_another_type_is_the_reason_for_silence(transport, other):
    node = FakeNode()
    publisher = SimpleNamespace(
        topic_type=f'sensor_msgs/msg/{other}Image', qos_profile=QoSProfile(depth=1)
    )
    node.get_publishers_info_by_topic = lambda _: [publisher]
    received = receiver_for(node, image_transport=transport)
    why = received.why_silent()
    assert f'as {publisher.topic_type},' in why
    assert f'image_transport {transport}' in why
    wanted = 'CompressedImage' if transport == 'compressed' else 'Image'
    assert why.endswith(f' sensor_msgs/msg/{wanted}')
    publisher.topic_type = f'sensor_msgs/msg/{wanted}'
    assert received.why_silent() == ''


@pytest.mark.parametrize('namespace', ['', '/robot'])
@pytest.mark.parametrize(
    ('remapped', 'expected'),
    [
        ({}, '{}/camera_info'),
        ({'image': '/front/image_raw'}, '/front/camera_info'),
        ({'image': '/image_raw'}, '/camera_info'),
        ({'image': '/front/image_raw', 'camera_info': '/elsewhere'}, '/elsewhere'),
        ({'camera_info': '/elsewhere'}, '/elsewhere'),
    ],
)
def test_camera_info_lies_beside_the_images_unless_it_is_remapped(namespace, remapped, expected):
    node = FakeNode()
    node.namespace, node.remapped = namespace, remapped
    assert receiver_for(node).info_topic == expected.format(namespace)


@pytest.mark.parametrize('transport', ['raw', 'compressed'])
def test_a_camera_that_has_the_other_kind_of_topic_is_told(transport):
    node = FakeNode()
    received = receiver_for(node, image_transport=transport)
    other = '/image' if transport == 'compressed' else '/image/compressed'
    node.get_publishers_info_by_topic = lambda _: []
    node.count_publishers = lambda topic: int(topic == other)
    assert received.why_silent() == f'nobody publishes it, but {other} (image_transport)'
    node.count_publishers = lambda _: 0
    assert received.why_silent() == 'nobody publishes it'


class Clock(ROSClock):
    """Simulated time that stands still."""

    def __new__(cls, _nanoseconds: int):
        return object.__new__(cls)

    def __init__(self, nanoseconds: int) -> None:
        self._nanoseconds = nanoseconds

    ros_time_is_active = True

    def now(self):
        return SimpleNamespace(nanoseconds=self._nanoseconds)


def subscribed(warn, clock=None, **config):
    node = FakeNode()
    if clock is not None:
        node.get_clock = lambda: clock
    statistics = Statistics()
    received = receiver_for(node, warn, statistics, **config)
    received.subscribe()

    def send(seconds: int) -> None:
        msg = Image()
        msg.header.stamp.sec = seconds
        node.callbacks[0](msg, {})

    return received, statistics, send


@pytest.mark.parametrize(
    ('stamp', 'clock', 'event', 'reason'),
    [
        (0, None, 'out of order', 'not later than that of an image before'),
        (12, 7, 'ahead of the clock', '5.0 s ahead of /clock'),
    ],
)
def test_image_after_image_that_its_stamp_rules_out_is_warned_of(stamp, clock, event, reason):
    warnings: list[tuple[str, str]] = []
    simulated = None if clock is None else Clock(clock * NANOSECONDS)
    _, statistics, send = subscribed(lambda *warning: warnings.append(warning), simulated)
    for _ in range(9):
        send(stamp)
    assert not warnings  # a few are usual: one that comes twice, the end of a bag that loops
    for _ in range(3):
        send(stamp)
    kind, text = warnings[-1]
    assert kind == event
    assert reason in text
    assert '/image' in text
    assert statistics.snapshot(0.0).counts[event] == 12 - (clock is None)


def test_one_usable_image_ends_the_row_of_those_that_are_none():
    warnings: list[tuple[str, str]] = []
    _, _, send = subscribed(lambda *warning: warnings.append(warning))
    for stamp in range(1, 5):
        for _ in range(9):
            send(stamp)
    assert not warnings


def test_a_pause_keeps_a_queue_and_throws_the_newest_image_away():
    for capacity in (0, 5):
        received, statistics, send = subscribed(print, input_queue=capacity)
        send(1)
        received.pause(True)
        send(2)
        assert statistics.snapshot(0.0).counts['paused'] == (1 if capacity else 2)
        received.pause(False)
        send(3)
        kept = [1, 3] if capacity else [3]
        assert [received.queue.get().stamp.sec for _ in kept] == kept
        assert received.queue.clear() == 0


def test_a_pause_outlasts_a_new_subscription():
    received, _, _ = subscribed(print, input_queue=5)
    received.pause(True)
    received.subscribe()
    assert received.paused
    assert received.queue._held


def test_what_was_sent_while_nobody_listened_is_not_lost():
    received, statistics, _ = subscribed(print)

    def send(number: int, seconds: int) -> None:
        msg = Image()
        msg.header.stamp.sec = seconds
        info = {'publication_sequence_number': number, 'publisher_gid': 'camera'}
        received._on_image(msg, info)

    send(1, 1)
    send(4, 2)
    received.subscribe()
    send(500, 3)
    send(502, 4)
    assert statistics.snapshot(0.0).counts['lost in transport'] == 2 + 1


@pytest.mark.parametrize('simulated', [False, True])
def test_the_age_of_the_newest_stamp_is_told_as_it_was_when_it_came(simulated):
    clock = Clock(5 * NANOSECONDS)
    clock.ros_time_is_active = simulated
    received, _, send = subscribed(print, clock)
    assert received.age == 0.0
    send(3)
    assert received.age == 2.0
    clock._nanoseconds = 50 * NANOSECONDS  # without an image, as after a pause
    assert received.age == 2.0
    send(2)  # not taken
    assert received.age == 2.0
    received.start_epoch()
    assert received.age == 0.0
    clock._nanoseconds = 0  # simulated time has not begun
    send(4)
    assert received.age == 0.0


def test_a_jump_is_known_to_the_images_after_it():
    received, statistics, send = subscribed(print, input_queue=10)
    for stamp in (100, 101, 10, 11):  # the jump is that of 10
        send(stamp)
    waiting = [received.queue.get() for _ in range(4)]
    assert [image.jumps for image in waiting] == [0, 0, 1, 1]
    assert statistics.snapshot(0.0).counts['back in time'] == 1
    received.start_epoch()
    send(12)
    assert received.queue.get().jumps == 1
