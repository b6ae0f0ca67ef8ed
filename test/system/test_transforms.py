"""The frames: with a robot, with odometry of another source, without TF, several cameras."""

import threading
import time

from harness import image, stamp
import numpy as np
import pytest
from rclpy.time import Time
from tf2_msgs.msg import TFMessage
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from ttt3r_ros.geometry.se3 import from_translation_quat
from ttt3r_ros.io.ros_messages import pose
from ttt3r_ros.node.conversions import transform_from_message, transform_message
from ttt3r_ros.node.frames import level_camera

MOUNTING = from_translation_quat([0.2, 0.0, 0.5], [1, 0, 0, 0]) @ level_camera(0.3)


def at(seconds: float) -> Time:
    return Time(nanoseconds=round(seconds * 1e9))


def lookup(client, target: str, source: str, seconds: float) -> np.ndarray:
    client.until(
        lambda: client.buffer.can_transform(target, source, at(seconds)), f'{target} <- {source}'
    )
    return transform_from_message(client.buffer.lookup_transform(target, source, at(seconds)))


def mount(client, child: str = 'optical', parent: str = 'base_link') -> None:
    StaticTransformBroadcaster(client.node).sendTransform(
        [transform_message(MOUNTING, stamp(0), parent, child)]
    )


def test_a_robot_is_waited_for_and_then_tracked(system):
    process = system.start(base_frame='base_link', input_queue=20)
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    client.listen_to_tf()
    client.send(image(0, 10.0))
    process.says('waiting for the transform of the camera')
    client.until(lambda: client.status(': reconstruction').level == b'\1', 'the warning')
    assert not client.received['odometry']

    mount(client)
    time.sleep(1.0)
    for index in range(3):
        client.send(image(index, 20.0 + index))
    client.wait_for_stamp('odometry', 22.0)
    odometry = client.received['odometry']
    assert {m.child_frame_id for m in odometry} == {'base_link'}
    assert np.allclose(pose(odometry[0]), np.eye(4), atol=1e-6)
    found = lookup(client, 'odom', 'base_link', 22.0)
    assert np.allclose(found, pose(odometry[-1]), atol=1e-9)
    camera = lookup(client, 'map', 'optical', 22.0)
    assert np.allclose(camera, found @ MOUNTING, atol=1e-9)
    # Each frame has one parent: the camera's is the robot.
    client.until(lambda: client.buffer.can_transform('map', 'base_link', at(22.0)), 'TF')


def test_with_odometry_of_another_source_only_map_to_odom_is_published(system):
    system.start(
        base_frame='base_link', publish_odom_tf=False, transform_tolerance=0.5, input_queue=20
    )
    client = system.client
    client.listen('odometry', 'path')
    client.listen_to_tf()
    edges = set()
    client.node.create_subscription(
        TFMessage,
        '/tf',
        lambda msg: edges.update((t.header.frame_id, t.child_frame_id) for t in msg.transforms),
        100,
    )
    mount(client)
    wheels = from_translation_quat([3.0, 1.0, 0.0], [0.8, 0, 0, 0.6])
    broadcaster = TransformBroadcaster(client.node)
    time.sleep(1.0)
    for index in range(3):
        seconds = 20.0 + index
        wheels = wheels @ from_translation_quat([0.1, 0, 0], [1, 0, 0, 0])
        for early in (-0.05, 0.05):
            broadcaster.sendTransform(
                transform_message(wheels, stamp(seconds + early), 'odom', 'base_link')
            )
        time.sleep(0.2)
        client.send(image(index, seconds))
        client.wait_for_stamp('odometry', seconds)
        T_map_odom = lookup(client, 'map', 'odom', seconds + 0.5)
        if index == 0:  # poses start from identity
            assert np.allclose(T_map_odom @ wheels, np.eye(4), atol=1e-6)
            first = pose(client.received['odometry'][0])
            assert np.allclose(first, wheels, atol=1e-6)
    assert ('map', 'odom') in edges
    assert edges == {('map', 'odom'), ('odom', 'base_link')}
    # The other source stops: nothing is guessed.
    before = len([1 for m in client.received['odometry']])
    client.send(image(9, 60.0))
    client.wait_for_stamp('odometry', 60.0)
    assert len(client.received['odometry']) == before + 1
    assert not client.buffer.can_transform('map', 'odom', at(60.5))


def test_without_tf_nothing_is_published_there(system):
    system.start(publish_tf=False, input_queue=20)
    client = system.client
    client.listen('odometry')
    seen = []
    client.node.create_subscription(TFMessage, '/tf', seen.append, 100)
    for index in range(3):
        client.send(image(index, 10.0 + index))
    client.wait_for_stamp('odometry', 12.0)
    time.sleep(0.5)
    assert not seen
    assert client.node.count_publishers('/tf') == 0


def test_two_cameras_share_nothing_but_tf(system):
    sides = ('left', 'right')
    for side in sides:
        system.start(
            remaps=[f'__ns:=/{side}'],
            frame_prefix=f'{side}/',
            input_queue=20,
            wait=f'waiting for images on /{side}/image',
        )
    client = system.client
    client.listen_to_tf()
    for side in sides:
        client.listen('odometry', 'points', namespace=f'/{side}')

    def feed(side: str, begin: float) -> None:
        for index in range(4):
            client.send(image(index, begin + index), topic=f'/{side}/image')

    threads = [
        threading.Thread(target=feed, args=(side, begin))
        for side, begin in zip(sides, (10.0, 100.0), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for side, begin in zip(sides, (10.0, 100.0), strict=True):
        client.wait_for_stamp(f'{side}/odometry', begin + 3)
        client.wait_for_stamp(f'{side}/points', begin + 3)
        assert client.stamps(f'{side}/odometry') == [begin + index for index in range(4)]
        odometry = client.received[f'{side}/odometry'][-1]
        assert odometry.header.frame_id == f'{side}/odom'
        found = lookup(client, f'{side}/map', f'{side}/optical', begin + 3)
        assert np.allclose(found, pose(odometry), atol=1e-9)
        frames = {message.header.frame_id for message in client.received[f'{side}/points']}
        assert frames == {f'{side}/optical'}
    with pytest.raises(AssertionError):
        client.until(
            lambda: client.buffer.can_transform('left/map', 'right/map', Time()), 'a link', 0.5
        )
