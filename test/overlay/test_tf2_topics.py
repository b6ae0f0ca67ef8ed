"""Broadcasters and listener over real DDS; these tests pass with the real tf2_ros too."""

import time

from geometry_msgs.msg import TransformStamped
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.time import Time
import tf2_ros


def transform(parent, child, seconds, x=0.0):
    message = TransformStamped()
    message.header.frame_id, message.child_frame_id = parent, child
    message.header.stamp.sec = seconds
    message.transform.translation.x = x
    return message


def at(seconds):
    return Time(seconds=seconds)


@pytest.fixture
def spin():
    """Give nodes of a context of their own, and spin them until something holds."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=91)
    executor = SingleThreadedExecutor(context=context)
    nodes = [rclpy.create_node(name, context=context) for name in ('sender', 'receiver')]
    for node in nodes:
        executor.add_node(node)

    def until(condition, seconds=10):
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.02)
        return condition()

    yield (*nodes, until)
    executor.shutdown()
    for node in nodes:
        node.destroy_node()
    context.shutdown()


def test_transforms_arrive_singly_and_in_lists(spin):
    sender, receiver, until = spin
    buffer = tf2_ros.Buffer()
    listener = tf2_ros.TransformListener(buffer, receiver)
    broadcaster = tf2_ros.TransformBroadcaster(sender)
    assert until(lambda: sender.count_subscribers('/tf') > 0)
    broadcaster.sendTransform(transform('map', 'odom', 5, 1.0))
    broadcaster.sendTransform([transform('odom', 'base', 5, 2.0), transform('base', 'camera', 5)])
    assert until(lambda: buffer.can_transform('map', 'camera', at(5)))
    assert buffer.lookup_transform('map', 'camera', Time()).transform.translation.x == 3
    listener.unregister()


def test_static_transforms_reach_who_comes_later(spin):
    sender, receiver, until = spin
    broadcaster = tf2_ros.StaticTransformBroadcaster(sender)
    broadcaster.sendTransform(transform('base', 'camera', 0, 9.0))
    broadcaster.sendTransform([transform('base', 'lidar', 0, 2.0)])
    buffer = tf2_ros.Buffer()
    listener = tf2_ros.TransformListener(buffer, receiver)
    assert until(lambda: buffer.can_transform('lidar', 'camera', at(7)))
    assert buffer.lookup_transform('lidar', 'camera', at(7)).transform.translation.x == 7
    listener.unregister()
