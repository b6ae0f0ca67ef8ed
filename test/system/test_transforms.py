"""The frames: names, a robot, odometry of another source, no TF, several cameras, continuity."""

from collections.abc import Callable
from itertools import count, pairwise
import threading
import time

from geometry_msgs.msg import TransformStamped
from harness import Client, image, stamp
from harness import seconds as to_seconds
import numpy as np
import pytest
from rclpy.time import Time
from tf2_msgs.msg import TFMessage
from tf2_ros import StaticTransformBroadcaster, TransformBroadcaster

from ttt3r_ros.geometry.se3 import from_translation_quat, inverse
from ttt3r_ros.io.ros_messages import pose
from ttt3r_ros.node.conversions import transform_from_message, transform_message
from ttt3r_ros.node.frames import level_camera

MOUNTING = from_translation_quat([0.2, 0.0, 0.5], [1, 0, 0, 0]) @ level_camera(0.3)


def at(seconds: float) -> Time:
    return Time(nanoseconds=round(seconds * 1e9))


def lookup(client: Client, target: str, source: str, seconds: float) -> np.ndarray:
    client.until(
        lambda: client.buffer.can_transform(target, source, at(seconds)), f'{target} <- {source}'
    )
    return transform_from_message(client.buffer.lookup_transform(target, source, at(seconds)))


def mount(client: Client, child: str = 'optical', parent: str = 'base_link') -> None:
    StaticTransformBroadcaster(client.node).sendTransform(
        [transform_message(MOUNTING, stamp(0), parent, child)]
    )


def edges(client: Client) -> set[tuple[str, str]]:
    """Return a set that the edges of all transforms on /tf will be in."""
    seen: set[tuple[str, str]] = set()
    listen_to_tf(client, lambda t: seen.add((t.header.frame_id, t.child_frame_id)))
    return seen


def listen_to_tf(client: Client, hear: Callable[[TransformStamped], object]) -> None:
    """Hear each transform on /tf."""

    def hear_all(message: TFMessage) -> None:
        for transform in message.transforms:
            hear(transform)

    client.node.create_subscription(TFMessage, '/tf', hear_all, 1000)


def test_a_robot_is_waited_for_and_then_tracked(system):
    process = system.start(base_frame='base_link', input_queue=20)
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    client.listen_to_tf()
    client.send(image(0, 10.0))
    process.says('waiting for the transform of the camera')
    client.until(lambda: client.status(': reconstruction').level == b'\1', 'the warning')
    assert 'base_link' in client.status(': reconstruction').message
    assert not client.received['odometry']

    mount(client)
    stamps = count(20)

    def tracked() -> bool:
        client.send(image(0, float(next(stamps))))
        time.sleep(0.1)
        return bool(client.received['odometry'])

    client.until(tracked, 'odometry')
    for index in range(3):
        client.send(image(index, 1000.0 + index))
    client.wait_for_stamp('odometry', 1002.0)
    odometry = client.received['odometry']
    assert {m.child_frame_id for m in odometry} == {'base_link'}
    assert np.allclose(pose(odometry[0]), np.eye(4), atol=1e-6)
    found = lookup(client, 'odom', 'base_link', 1002.0)
    assert np.allclose(found, pose(odometry[-1]), atol=1e-9)
    # Each frame has one parent: the camera's is the robot. Its tilt levels the map.
    camera = lookup(client, 'map', 'optical', 1002.0)
    assert np.allclose(camera, found @ MOUNTING, atol=1e-9)


def wheels(seconds: float) -> np.ndarray:
    """Return the pose that another source of odometry tells."""
    start = from_translation_quat([3.0, 1.0, 0.0], [0.8, 0, 0, 0.6])
    return start @ from_translation_quat([0.1 * (seconds - 20.0), 0, 0], [1, 0, 0, 0])


def none_but_the_wheels_tell(heard: list[TransformStamped]) -> bool:
    told = [t for t in heard if (t.header.frame_id, t.child_frame_id) == ('odom', 'base_link')]
    found = [transform_from_message(t) for t in told]
    return np.allclose(found, [wheels(to_seconds(t.header.stamp)) for t in told], atol=1e-6)


def test_with_odometry_of_another_source_only_map_to_odom_is_published(system):
    tolerance = 0.5
    system.start(
        base_frame='base_link', publish_odom_tf=False, transform_tolerance=tolerance,
        input_queue=20,
    )  # fmt: skip
    client = system.client
    client.listen('odometry')
    client.listen_to_diagnostics()
    client.listen_to_tf()
    seen = edges(client)
    heard_of: list[TransformStamped] = []
    listen_to_tf(client, heard_of.append)
    mount(client)
    broadcaster = TransformBroadcaster(client.node)
    client.until(lambda: broadcaster.pub_tf.get_subscription_count() >= 2, 'listeners of TF')

    def drive(begin: float, end: float) -> None:
        for seconds in np.arange(begin, end, 0.05):
            broadcaster.sendTransform(
                transform_message(wheels(seconds), stamp(float(seconds)), 'odom', 'base_link')
            )

    drive(19.5, 24.0)
    # The node has heard all of it once it has an image of the end of it.
    stamps = (23.0 + index / 1000 for index in count())

    def heard() -> bool:
        seconds = next(stamps)
        client.send(image(0, seconds))
        client.wait_for_stamp('odometry', seconds)
        return ('map', 'odom') in seen

    client.until(heard, 'map -> odom')
    client.call_reset()
    client.forget()
    for index in range(3):
        seconds = 20.0 + index
        client.send(image(index, seconds))
        estimate = pose(client.wait_for_stamp('odometry', seconds))
        T_map_odom = lookup(client, 'map', 'odom', seconds + tolerance)
        if index == 0:  # poses start from identity
            anchor = T_map_odom
            assert np.allclose(T_map_odom @ wheels(seconds), np.eye(4), atol=1e-6)
            assert np.allclose(estimate, wheels(seconds), atol=1e-6)
        # map -> base_link is the node's own estimate, whatever the wheels say.
        assert np.allclose(T_map_odom @ wheels(seconds), anchor @ estimate, atol=1e-6)
    assert not np.allclose(T_map_odom, anchor, atol=1e-3)
    assert seen == {('map', 'odom'), ('odom', 'base_link')}
    assert none_but_the_wheels_tell(heard_of)
    # The other source stops: nothing is guessed.
    before = client.count('without odometry')
    client.send(image(9, 60.0))
    client.wait_for_stamp('odometry', 60.0)
    client.until(lambda: client.count('without odometry') == before + 1, 'the count')
    assert not client.buffer.can_transform('map', 'odom', at(60.0 + tolerance))


@pytest.mark.parametrize(
    ('parameters', 'expected'),
    [
        ({}, {('map', 'odom'), ('odom', 'optical')}),
        ({'publish_map_tf': False}, {('odom', 'optical')}),
        ({'publish_tf': False}, set()),
        (
            {'map_frame': 'world', 'odom_frame': 'local', 'camera_frame': 'eye'},
            {('world', 'local'), ('local', 'eye')},
        ),
    ],
    ids=['default', 'publish_map_tf', 'publish_tf', 'names'],
)
def test_which_transforms_are_published(system, parameters, expected):
    process = system.start(input_queue=20, camera_tilt=0.4, **parameters)
    client = system.client
    client.listen('odometry', 'points', 'map_points')
    seen = edges(client)
    client.send_until(
        lambda: seen == expected,
        (image(0, 10.0 + index) for index in range(10)),
        'all transforms',
    )
    assert np.allclose(pose(client.received['odometry'][0]), level_camera(0.4), atol=1e-6)
    last = client.received['odometry'][-1]
    client.wait_for_stamp('points', last.header.stamp.sec)
    camera = parameters.get('camera_frame', 'optical')
    assert {m.header.frame_id for m in client.received['points']} == {camera}
    assert last.header.frame_id == parameters.get('odom_frame', 'odom')
    client.until(lambda: client.received['map_points'], 'a map')
    ours = parameters.get('publish_map_tf', True)
    in_map = parameters.get('map_frame', 'map') if ours else 'odom'
    assert client.received['map_points'][0].header.frame_id == in_map
    assert client.node.count_publishers('/tf') == bool(expected)
    assert 'first image is taken as level' not in process.said()


def test_odom_is_continuous_over_restarts_of_the_state_and_the_level_is_said_once(system):
    process = system.start(input_queue=50, reset_interval=3)
    client = system.client
    client.listen('odometry')
    client.send(*[image(3, 10.0 + index / 10) for index in range(10)])
    client.wait_for_stamp('odometry', 10.9)
    poses = [pose(message) for message in client.received['odometry']]
    # The same image each time, so that parts (3 images after the overlap) repeat each other, each
    # from where the last one ended.
    steps = [inverse(before) @ after for before, after in pairwise(poses)]
    assert np.allclose(steps[2:5], steps[5:8], atol=1e-4)
    # A part begins with the last image of the one before, as the first part with its first image.
    assert np.allclose(steps[1], steps[3], atol=1e-4)
    ends = [poses[index][:3, 3] for index in (2, 5, 8)]
    assert np.linalg.norm(ends[1] - ends[0]) > 0.1
    assert np.linalg.norm(ends[2] - ends[1]) > 0.1
    assert process.said().count('first image is taken as level') == 1
    assert 'epoch' not in process.said()


def test_two_cameras_share_nothing_but_tf(system):
    sides = {'left': 10.0, 'right': 100.0}
    for side in sides:
        system.start(
            remaps=[f'__ns:=/{side}'],
            frame_prefix=f'{side}/',
            input_queue=20,
            wait=f'waiting for images on /{side}/image',
        )
    client = system.client
    client.listen_to_tf()
    seen = edges(client)
    for side in sides:
        client.listen('odometry', 'points', namespace=f'/{side}')
        client.publisher(f'/{side}/image', type(image(0, 0.0)))

    def feed(side: str, begin: float) -> None:
        for index in range(6):
            client.send(image(index, begin + index), topic=f'/{side}/image')

    threads = [threading.Thread(target=feed, args=item) for item in sides.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for side, begin in sides.items():
        client.wait_for_stamp(f'{side}/odometry', begin + 5)
        client.wait_for_stamp(f'{side}/points', begin + 5)
        assert client.stamps(f'{side}/odometry') == [begin + index for index in range(6)]
        odometry = client.received[f'{side}/odometry'][-1]
        assert odometry.header.frame_id == f'{side}/odom'
        found = lookup(client, f'{side}/map', f'{side}/optical', begin + 5)
        assert np.allclose(found, pose(odometry), atol=1e-9)
        frames = {message.header.frame_id for message in client.received[f'{side}/points']}
        assert frames == {f'{side}/optical'}
    assert seen == {
        (f'{side}/{parent}', f'{side}/{child}')
        for side in sides
        for parent, child in (('map', 'odom'), ('odom', 'optical'))
    }
    left, right = ([pose(m) for m in client.received[f'{side}/odometry']] for side in sides)
    assert np.allclose(left, right, atol=1e-5)  # the same images: neither disturbs the other
