from builtin_interfaces.msg import Time
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.node import Node

from ttt3r_ros.node import transforms
from ttt3r_ros.node.conversions import transform_message
from ttt3r_ros.node.frames import FrameNames
from ttt3r_ros.node.settings import NodeConfig

NAMES = FrameNames('map', 'odom', 'base_link', 'optical')


@pytest.fixture(scope='module')
def node():
    context = Context()
    rclpy.init(context=context)
    yield Node('transforms', context=context)
    rclpy.shutdown(context=context)


@pytest.fixture
def sent(node, monkeypatch):
    """Return what a configuration sends for an image of second 5."""

    def send(**settings) -> list[tuple[str, str, float]]:
        messages = []

        class Broadcaster:
            def __init__(self, _):
                pass

            def sendTransform(self, transforms):  # noqa: N802
                messages.extend(transforms)

        monkeypatch.setattr(transforms, 'TransformBroadcaster', Broadcaster)
        made = transforms.Transforms(node, NodeConfig(**settings))
        made.send(NAMES, Time(sec=5), np.eye(4), np.eye(4))
        return [
            (
                m.header.frame_id,
                m.child_frame_id,
                m.header.stamp.sec + m.header.stamp.nanosec / 1e9,
            )
            for m in messages
        ]

    return send


def test_both_transforms_are_of_the_time_of_the_image(sent):
    assert sent() == [('map', 'odom', 5.0), ('odom', 'base_link', 5.0)]


def test_other_odometry_is_corrected_for_a_while(sent):
    assert sent(publish_odom_tf=False, transform_tolerance=0.25) == [('map', 'odom', 5.25)]


def test_a_localiser_owns_the_map(sent):
    assert sent(publish_map_tf=False) == [('odom', 'base_link', 5.0)]


def test_nothing_is_sent_without_tf(sent):
    assert sent(publish_tf=False) == []


def test_a_stamp_before_all_time_has_no_odometry(node):
    made = transforms.Transforms(node, NodeConfig(publish_odom_tf=False, base_frame='base_link'))
    with pytest.raises(transforms.TransformException, match='stamp -2000000000 ns'):
        made.odometry(NAMES, Time(sec=-2))
    made.destroy()


@pytest.fixture
def asked(node, monkeypatch):
    """Return how long odometry is waited for, by image, where the newest is of a given time."""
    waits: list[float] = []
    newest: list[float] = []

    def look(_odom, _base, at, timeout=Duration()):  # noqa: B008
        if at.nanoseconds:
            waits.append(timeout.nanoseconds / 1e9)
        if at.nanoseconds or not newest:
            raise transforms.TransformException('not known')
        return transform_message(np.eye(4), stamp(newest[-1]), 'odom', 'base_link')

    def stamp(seconds: float) -> Time:
        return Time(sec=int(seconds), nanosec=round(seconds % 1 * 1e9))

    made = transforms.Transforms(node, NodeConfig(publish_odom_tf=False))
    monkeypatch.setattr(made._buffer, 'lookup_transform', look)

    def ask(image: float, odometry: float | None) -> float:
        newest.extend([] if odometry is None else [odometry])
        with pytest.raises(transforms.TransformException):
            made.odometry(NAMES, stamp(image))
        return waits[-1]

    yield ask, made.forget
    made.destroy()


def test_odometry_that_has_ended_holds_up_one_image_and_no_other(asked):
    ask, forget = asked
    assert [ask(5.0, None), ask(6.0, None)] == [0.3, 0.0]
    assert [ask(7.0, 6.75), ask(7.1, 6.75)] == [0.3, 0.0]  # it has begun, but is late
    assert [ask(9.0, 8.9), ask(9.1, 8.9)] == [0.3, 0.0]
    forget()
    assert ask(9.2, 8.9) == 0.3


def test_odometry_that_is_always_too_late_holds_up_no_image(asked):
    ask, _ = asked
    assert [ask(5.29, 5.0), ask(6.31, 6.0)] == [0.3, 0.0]
    assert [ask(second, second - 0.5) for second in (7.0, 8.0, 9.0)] == [0.0] * 3


@pytest.mark.parametrize(('queue', 'seconds'), [(0, 10), (100, 110), (100_000, 600)])
def test_odometry_is_remembered_for_the_images_that_wait(node, queue, seconds):
    made = transforms.Transforms(node, NodeConfig(publish_odom_tf=False, input_queue=queue))
    for second in (1, 2, 3, seconds + 2):
        moved = transform_message(np.eye(4), Time(sec=second), 'odom', 'base_link')
        made._buffer.set_transform(moved, 'wheels')
    assert made.odometry(NAMES, Time(sec=3)).shape == (4, 4)
    with pytest.raises(transforms.TransformException):
        made.odometry(NAMES, Time(sec=1))
    made.destroy()
